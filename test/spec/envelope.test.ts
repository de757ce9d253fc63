import { beforeAll, describe, expect, test } from 'vitest'
import { fromBase64, fromUtf8, toBase64, toHex, utf8 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { deriveReportKey, openEnvelope, openReport, parsePayload, payloadTypes, reportKeyId, sealReport, signEnvelope, type Envelope } from '../../protocol/envelope.ts'
import { SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { Trust } from '../../protocol/trust.ts'
import { gunzip } from '../../functions/adapters/node/gunzip.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { syncCrypto } from '../support/sync-crypto.ts'
import { fleet, newKey, type Key } from './keys.ts'

let key: Key
let other: Key
let envelope: Envelope
const payload = utf8('{"says":"hello"}')
const keysOf = (...keys: Key[]) => new Map(keys.map((each) => [each.keyid as string, each.publicKey]))
const open = (value: unknown, keys = keysOf(key), type: (typeof payloadTypes)[keyof typeof payloadTypes] = payloadTypes.directive) => openEnvelope(syncCrypto, value, type, keys)

beforeAll(async () => {
  ;[key, other] = [await newKey('one'), await newKey('other')]
  envelope = await signEnvelope(syncCrypto, payloadTypes.directive, payload, key)
})

describe('a signed envelope (I2)', () => {
  test('gives its payload and the key that signed it', async () => {
    expect(await open(envelope)).toEqual({ ok: true, value: { payload, keyid: key.keyid } })
  })

  test('is refused once any byte of its payload has changed (F1)', async () => {
    for (let i = 0; i < payload.length; i++) {
      const bytes = payload.slice()
      bytes[i]! ^= 1
      expect(await open({ ...envelope, payload: toBase64(bytes) }), `byte ${i}`).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
    }
  })

  test('is refused once any bit of its signature has changed', async () => {
    const [signature] = envelope.signatures
    const sig = fromBase64(signature!.sig)
    for (const i of [0, 31, 32, 63]) {
      const changed = sig.slice()
      changed[i]! ^= 1
      expect(await open({ ...envelope, signatures: [{ ...signature, sig: toBase64(changed) }] })).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
    }
  })

  test('that is truthfully of another type never passes for this one (F2)', async () => {
    expect(await open(envelope, keysOf(key), payloadTypes.manifest)).toMatchObject({ ok: false, refusal: { reason: 'wrong-type', actual: payloadTypes.directive } })
  })

  test('that only claims to be of this type is refused, because the type is signed too', async () => {
    expect(await open({ ...envelope, payloadType: payloadTypes.manifest }, keysOf(key), payloadTypes.manifest)).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
  })

  test('by a key that is not trusted is refused, with the keys it named', async () => {
    expect(await open(envelope, keysOf(other))).toEqual({ ok: false, refusal: { reason: 'unknown-key', keyids: [key.keyid] } })
  })

  test('under the name of a trusted key that did not sign it is refused', async () => {
    const forged = { ...envelope, signatures: [{ ...envelope.signatures[0]!, keyid: other.keyid }] }
    expect(await open(forged, keysOf(key, other))).toMatchObject({ ok: false, refusal: { reason: 'bad-signature', keyid: other.keyid } })
  })

  test('with the signatures of an old and a new key passes where either is trusted', async () => {
    const second = await signEnvelope(syncCrypto, payloadTypes.directive, payload, other)
    const both = { ...envelope, signatures: [...envelope.signatures, ...second.signatures] }
    expect(await open(both, keysOf(key))).toMatchObject({ ok: true, value: { keyid: key.keyid } })
    expect(await open(both, keysOf(other))).toMatchObject({ ok: true, value: { keyid: other.keyid } })
  })

  test('a bad signature by a trusted key is not made good by another one beside it (F12)', async () => {
    const both = { ...envelope, signatures: [{ keyid: key.keyid, sig: toBase64(new Uint8Array(64)) }, ...envelope.signatures] }
    expect(await open(both)).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
  })

  test.each([
    ['nothing', undefined],
    ['a string', 'x'],
    ['no signature', { payloadType: payloadTypes.directive, payload: toBase64(payload), signatures: [] }],
    ['too many signatures', { payloadType: payloadTypes.directive, payload: toBase64(payload), signatures: Array.from({ length: 9 }, () => ({ keyid: 'a', sig: toBase64(payload) })) }],
    ['a payload that is not base64', { payloadType: payloadTypes.directive, payload: '{}', signatures: [{ keyid: 'a', sig: toBase64(payload) }] }],
    ['a field nobody knows', { payloadType: payloadTypes.directive, payload: toBase64(payload), signatures: [{ keyid: 'a', sig: toBase64(payload) }], more: 1 }],
    ['a payload over the limit (F19)', { payloadType: payloadTypes.directive, payload: 'A'.repeat(limits.envelopeBytesMax + 4), signatures: [{ keyid: 'a', sig: toBase64(payload) }] }],
  ])('%s is malformed', async (_, value) => {
    expect(await open(value)).toMatchObject({ ok: false, refusal: { reason: 'malformed' } })
  })

  test('a trusted key of the wrong length refuses instead of throwing', async () => {
    expect(await open(envelope, new Map([[key.keyid as string, new Uint8Array(31)]]))).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
  })
})

describe('a payload', () => {
  const schema = Trust
  test.each([
    ['bytes that are not UTF-8', new Uint8Array([0xff, 0xfe])],
    ['text that is not JSON', utf8('{')],
    ['NaN, which JSON does not have (F19)', utf8('NaN')],
    ['another shape', utf8('[]')],
  ])('is refused: %s', (_, bytes) => {
    expect(parsePayload(schema, bytes)).toMatchObject({ ok: false, refusal: { reason: 'malformed' } })
  })
})

describe('a sealed report', () => {
  const site = SiteId.parse('north-1')
  const secret = new Uint8Array(32).fill(5)
  const keyid = reportKeyId(fleet, site, 1)
  const keyFor = (id: string) => (id.startsWith(`${fleet}/`) ? syncCrypto.derive(secret, `murmur report ${id}`) : null)
  const seal = async () => sealReport(syncCrypto, payload, keyid, await deriveReportKey(syncCrypto, secret, fleet, site, 1))

  test('opens with nothing read: the key id says whose key to derive', async () => {
    const opened = await openReport(syncCrypto, gunzip, await seal(), keyFor)
    expect(opened.ok && fromUtf8(opened.value.payload)).toBe('{"says":"hello"}')
  })

  test('of one site or incarnation does not pass for another (F31, F40)', async () => {
    const sealed = await seal()
    for (const keyid of [reportKeyId(fleet, SiteId.parse('north-2'), 1), reportKeyId(fleet, site, 2)]) {
      expect(await openReport(syncCrypto, gunzip, { ...sealed, signatures: [{ ...sealed.signatures[0]!, keyid }] }, keyFor)).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
    }
  })

  test('that was changed on its way, or is of a fleet that is not ours, is refused', async () => {
    const sealed = await seal()
    expect(await openReport(syncCrypto, gunzip, { ...sealed, payload: toBase64(utf8('{"says":"hollo"}')) }, keyFor)).toMatchObject({ ok: false, refusal: { reason: 'bad-signature' } })
    expect(await openReport(syncCrypto, gunzip, { ...sealed, signatures: [{ ...sealed.signatures[0]!, keyid: 'elsewhere/north-1/1' }] }, keyFor)).toMatchObject({ ok: false, refusal: { reason: 'unknown-key' } })
  })
})

describe('the primitives agree wherever they come from', () => {
  test.each([['node', nodeCrypto], ['sync', syncCrypto]])('%s and WebCrypto', async (_, crypto) => {
    const [bytes, secret] = [utf8('the same bytes'), new Uint8Array(32).fill(9)]
    expect(toHex(await crypto.sha256(bytes))).toBe(toHex(await webCrypto.sha256(bytes)))
    expect(toHex(await crypto.hmac(secret, bytes))).toBe(toHex(await webCrypto.hmac(secret, bytes)))
    expect(toHex(await crypto.derive(secret, 'murmur'))).toBe(toHex(await webCrypto.derive(secret, 'murmur')))
    const pair = await webCrypto.generateKeyPair()
    const signature = await crypto.sign(pair.privateKey, bytes)
    expect(await webCrypto.verify(pair.publicKey, bytes, signature)).toBe(true)
    expect(await crypto.verify(pair.publicKey, bytes, await webCrypto.sign(pair.privateKey, bytes))).toBe(true)
    expect(await crypto.verify(pair.publicKey, utf8('other bytes'), signature)).toBe(false)
  })

  test('SHA-256, HMAC and Ed25519 give the values of FIPS 180-4, RFC 4231 and RFC 8032', async () => {
    expect(toHex(await webCrypto.sha256(utf8('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect(toHex(await webCrypto.hmac(utf8('Jefe'), utf8('what do ya want for nothing?')))).toBe('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843')
    const publicKey = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex')
    const sig = Buffer.from('e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b', 'hex')
    expect(await webCrypto.verify(new Uint8Array(publicKey), new Uint8Array(0), new Uint8Array(sig))).toBe(true)
  })
})
