import { beforeAll, describe, expect, test } from 'vitest'
import { toBase64 } from '../../protocol/bytes.ts'
import { payloadTypes } from '../../protocol/envelope.ts'
import { FleetId } from '../../protocol/ids.ts'
import { openTrust, verifyingKeys, type Trust } from '../../protocol/trust.ts'
import { syncCrypto } from '../support/sync-crypto.ts'
import { fleet, newKey, signJson, trustOf, type Key } from './keys.ts'

let root: Key
let publisher: Key
let fleetKey: Key
beforeAll(async () => {
  ;[root, publisher, fleetKey] = [await newKey('root'), await newKey('publisher'), await newKey('fleet')]
})

const expected = (heldVersion: number | null = null) => ({ rootFingerprint: root.keyid, fleet, heldVersion })
const trust = (changes: Partial<Trust> = {}): Trust => trustOf(root, publisher, fleetKey, changes)
const sign = (changes: Partial<Trust> | Record<string, unknown> = {}, key = root) => signJson(payloadTypes.trust, { ...trust(), ...changes }, key)
const open = async (envelope: unknown, heldVersion: number | null = null) => openTrust(syncCrypto, await envelope, expected(heldVersion))

describe('trust.json (I3)', () => {
  test('is believed when the root with the fingerprint of the enrolment line signed it', async () => {
    expect(await open(sign())).toEqual({ ok: true, value: trust() })
  })

  test('replaces a lower version, may be the held one again, and never falls', async () => {
    expect((await open(sign({ version: 4 }), 3)).ok).toBe(true)
    expect((await open(sign({ version: 3 }), 3)).ok).toBe(true)
    expect(await open(sign({ version: 2 }), 3)).toEqual({ ok: false, refusal: { reason: 'older', held: 3, offered: 2 } })
  })

  test('by another root, however complete, is refused (F13)', async () => {
    const stranger = await newKey('stranger')
    expect(await open(sign({ rootKey: stranger.trusted }, stranger))).toEqual({ ok: false, refusal: { reason: 'wrong-root', fingerprint: root.keyid, actual: stranger.keyid } })
  })

  test('that names our root and was signed by another key is refused', async () => {
    const stranger = await newKey('stranger')
    expect(await open(sign({}, stranger))).toMatchObject({ ok: false, refusal: { reason: 'unknown-key' } })
    const forged = await sign({}, stranger)
    expect(await open({ ...forged, signatures: [{ ...forged.signatures[0]!, keyid: root.keyid }] })).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
  })

  test('signed by one of the keys it lists, and not by the root, is refused (F14)', async () => {
    for (const key of [publisher, fleetKey]) expect((await open(sign({ publisherKeys: [publisher.trusted, root.trusted] }, key))).ok).toBe(false)
  })

  test('of another fleet is refused', async () => {
    expect(await open(sign({ fleet: FleetId.parse('elsewhere') }))).toEqual({ ok: false, refusal: { reason: 'wrong-fleet', expected: 'practice', actual: 'elsewhere' } })
  })

  test('is refused when a key does not have the id it is listed under (F12)', async () => {
    const swapped = { ...publisher.trusted, publicKey: toBase64(fleetKey.publicKey) }
    expect(await open(sign({ publisherKeys: [swapped] }))).toEqual({ ok: false, refusal: { reason: 'key-id-mismatch', keyid: publisher.keyid } })
    expect(await open(sign({ rootKey: { ...root.trusted, keyid: publisher.keyid } }))).toEqual({ ok: false, refusal: { reason: 'key-id-mismatch', keyid: publisher.keyid } })
  })

  test('counts a key listed twice once (F12)', () => {
    expect(verifyingKeys([publisher.trusted, publisher.trusted]).size).toBe(1)
  })

  test.each([
    ['a field nobody knows', { more: true }],
    ['another version of the format', { v: 2 }],
    ['no fleet key', { fleetKeys: [] }],
    ['a version that is no whole number', { version: 1.5 }],
    ['a version that whole numbers cannot hold exactly (F15)', { version: 2 ** 53 }],
    ['more keys than anybody needs', { publisherKeys: Array.from({ length: 33 }, () => ({ keyid: 'a'.repeat(64), publicKey: 'A'.repeat(43) + '=', name: '' })) }],
  ])('is refused with %s', async (_, changes) => {
    expect(await open(sign(changes))).toMatchObject({ ok: false, refusal: { reason: 'malformed' } })
  })

  test.each([['null', null], ['text', 'trust me'], ['an envelope without a payload', { payloadType: payloadTypes.trust, signatures: [] }]])('is refused: %s', async (_, envelope) => {
    expect(await open(envelope)).toMatchObject({ ok: false, refusal: { reason: 'malformed' } })
  })

  test('a directive that the root signed is not trust', async () => {
    expect((await open(signJson(payloadTypes.directive, trust(), root))).ok).toBe(false)
  })
})
