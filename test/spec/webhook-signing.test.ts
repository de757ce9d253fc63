import { createHmac, createPublicKey, hkdfSync, verify } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { deriveKeyPair, deriveSecret, openTarget, sealTarget, type Secrets } from '../../functions/webhook/secrets.ts'
import { signMessage } from '../../functions/webhook/sign.ts'
import { fromBase64, toBase64, toHex } from '../../protocol/bytes.ts'
import { webCrypto, type Crypto } from '../../protocol/crypto.ts'
import { FleetId } from '../../protocol/ids.ts'
import { syncCrypto } from '../support/sync-crypto.ts'

const ingestSecret = new Uint8Array(32).fill(7)
let nonces = 0
const contextOf = (crypto: Crypto, secret = ingestSecret, fleet = 'practice') => ({
  crypto, keys: { fleetKey: () => { throw new Error('nobody asks for it') }, ingestSecret: () => secret }, ids: { sortable: () => '', secret: (length: number) => new Uint8Array(length).fill(++nonces) },
  config: { fleet: FleetId.parse(fleet), publicUrl: '', version: '', host: 'node' },
}) satisfies Secrets & Record<string, unknown>
const ctx = contextOf(nodeCrypto)
const id = 'wh_0000000000000000000000000a'
const nowS = (): number => Math.floor(Date.now() / 1000)
const webhookOf = (signing: 'v1' | 'v1a', ...secrets: { version: number; expiresMs: number | null }[]) => ({ id, signing, secrets })
const body = '{"type":"murmuration.alarm.raised","text":"ü – 𝄞"}'

const ed25519 = (publicKey: string) => createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), fromBase64(publicKey.replace('whpk_', ''))]), format: 'der', type: 'spki' })

describe.each([['node', nodeCrypto], ['web', webCrypto], ['simulated', syncCrypto]] as const)('the secrets of webhooks, by the %s cryptography', (_, crypto) => {
  test('are the same on every host', async () => {
    const here = contextOf(crypto)
    expect(await deriveSecret(here, id, 1)).toEqual(await deriveSecret(ctx, id, 1))
    expect((await deriveKeyPair(here, id, 1)).publicKey).toBe((await deriveKeyPair(ctx, id, 1)).publicKey)
    const sealed = await sealTarget(here, id, { url: 'https://hooks.example.com/s', routingKey: null })
    expect(await openTarget(ctx, id, sealed)).toEqual({ url: 'https://hooks.example.com/s', routingKey: null })
  })

  test('seal what nobody else opens, and notice each bit that was changed', async () => {
    const target = { url: 'https://hooks.example.com/services/T0/B0/secret-part', routingKey: 'a-routing-key' }
    const sealed = await sealTarget(contextOf(crypto), id, target)
    expect(await sealTarget(contextOf(crypto), id, target)).not.toBe(sealed)
    expect(new TextDecoder().decode(fromBase64(sealed))).not.toMatch(/hooks|secret|routing/)
    const refused = { name: 'FleetError', code: 'conflict', reason: 'target-unreadable' }
    await expect(openTarget(contextOf(crypto), 'wh_other', sealed)).rejects.toMatchObject(refused)
    await expect(openTarget(contextOf(crypto, new Uint8Array(32).fill(8)), id, sealed)).rejects.toMatchObject(refused)
    await expect(openTarget(contextOf(crypto, ingestSecret, 'other'), id, sealed)).rejects.toMatchObject(refused)
    for (let at = 0; at < fromBase64(sealed).length; at += 7) {
      const bytes = fromBase64(sealed)
      bytes[at]! ^= 1
      await expect(openTarget(contextOf(crypto), id, toBase64(bytes))).rejects.toMatchObject(refused)
    }
    for (const short of ['', 'AAAA', toBase64(fromBase64(sealed).subarray(0, 20))]) await expect(openTarget(contextOf(crypto), id, short)).rejects.toMatchObject(refused)
  })
})

test('a secret is derived as RFC 5869 says from what the database does not hold, and differs by fleet, webhook and version', async () => {
  const info = `murmur webhook secret ${id} 3 practice`
  expect(toHex((await deriveSecret(ctx, id, 3)).key)).toBe(Buffer.from(hkdfSync('sha256', ingestSecret, Buffer.alloc(0), info, 32)).toString('hex'))
  const others = [deriveSecret(ctx, id, 1), deriveSecret(ctx, id, 2), deriveSecret(ctx, 'wh_b', 1), deriveSecret(contextOf(nodeCrypto, ingestSecret, 'other'), id, 1), deriveSecret(contextOf(nodeCrypto, new Uint8Array(32)), id, 1)]
  expect(new Set((await Promise.all(others)).map(({ secret }) => secret)).size).toBe(others.length)
  expect((await deriveSecret(ctx, id, 1)).secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
})

describe('the signatures of Standard Webhooks', () => {
  test('agree with a vector from its documentation', async () => {
    // the example that the specification's libraries test themselves with
    const known = fromBase64('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
    const fixed = { ...ctx, crypto: { ...nodeCrypto, derive: () => known } }
    const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestampS: 1614265330, body: '{"test": 2432232314}' }
    expect(await signMessage(fixed, webhookOf('v1', { version: 1, expiresMs: null }), message)).toEqual({
      'webhook-id': message.id, 'webhook-timestamp': '1614265330', 'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
  })

  test('v1 is accepted by its own library with the secret as it is shown, and nothing else is', async () => {
    const { secret } = await deriveSecret(ctx, id, 1)
    const headers = await signMessage(ctx, webhookOf('v1', { version: 1, expiresMs: null }), { id: 'wd_1', timestampS: nowS(), body })
    expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body))
    expect(() => new Webhook(secret).verify(`${body} `, headers)).toThrow()
    expect(() => new Webhook(secret).verify(body, { ...headers, 'webhook-id': 'wd_2' })).toThrow()
    expect(() => new Webhook(secret).verify(body, { ...headers, 'webhook-timestamp': String(nowS() - 1) })).toThrow()
    const other = await deriveSecret(ctx, id, 2)
    expect(() => new Webhook(other.secret).verify(body, headers)).toThrow()
  })

  test('F66: while a secret is replaced both sign, the newest first; what has ended by then does not', async () => {
    const timestampS = nowS()
    const webhook = webhookOf('v1', { version: 1, expiresMs: (timestampS - 1) * 1000 }, { version: 2, expiresMs: (timestampS + 60) * 1000 }, { version: 3, expiresMs: null })
    const headers = await signMessage(ctx, webhook, { id: 'wd_1', timestampS, body })
    expect(headers['webhook-signature']!.split(' ')).toHaveLength(2)
    const newest = (await deriveSecret(ctx, id, 3)).key
    expect(headers['webhook-signature']!.split(' ')[0]).toBe(`v1,${createHmac('sha256', newest).update(`wd_1.${timestampS}.${body}`).digest('base64')}`)
    for (const version of [2, 3]) expect(new Webhook((await deriveSecret(ctx, id, version)).secret).verify(body, headers)).toBeTruthy()
    const ended = (await deriveSecret(ctx, id, 1)).secret
    expect(() => new Webhook(ended).verify(body, headers)).toThrow()
  })

  test('F66: a receiver whose clock is ten minutes off refuses, and accepts the same message with the time of the next attempt', async () => {
    const { secret } = await deriveSecret(ctx, id, 1)
    const webhook = webhookOf('v1', { version: 1, expiresMs: null })
    for (const offS of [-600, 600]) {
      const late = await signMessage(ctx, webhook, { id: 'wd_1', timestampS: nowS() + offS, body })
      expect(() => new Webhook(secret).verify(body, late)).toThrow(/timestamp/i)
    }
    const next = await signMessage(ctx, webhook, { id: 'wd_1', timestampS: nowS(), body })
    expect(new Webhook(secret).verify(body, next)).toBeTruthy()
  })

  test('v1a is an Ed25519 signature of the same content, by the key that is shown', async () => {
    const { publicKey } = await deriveKeyPair(ctx, id, 1)
    expect(publicKey).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/)
    const headers = await signMessage(ctx, webhookOf('v1a', { version: 1, expiresMs: null }), { id: 'wd_1', timestampS: 1_700_000_000, body })
    const [scheme, signature] = headers['webhook-signature']!.split(',')
    expect(scheme).toBe('v1a')
    expect(verify(null, Buffer.from(`wd_1.1700000000.${body}`), ed25519(publicKey), fromBase64(signature!))).toBe(true)
    expect(verify(null, Buffer.from(`wd_1.1700000001.${body}`), ed25519(publicKey), fromBase64(signature!))).toBe(false)
  })

  test('an Ed25519 pair made of a seed is the one that RFC 8032 says', async () => {
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex')
    for (const crypto of [nodeCrypto, webCrypto]) {
      const { publicKey } = await deriveKeyPair({ ...ctx, crypto: { ...crypto, derive: () => seed } }, id, 1)
      expect(Buffer.from(fromBase64(publicKey.replace('whpk_', ''))).toString('hex')).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
    }
  })
})
