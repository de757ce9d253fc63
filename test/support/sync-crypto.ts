import { createHash, createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, hkdfSync, sign, verify, type KeyObject } from 'node:crypto'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import type { Crypto } from '../../protocol/crypto.ts'

/** DER before the 32 raw bytes of an Ed25519 public key (RFC 8410). */
const publicKeyPrefix = Buffer.from('302a300506032b6570032100', 'hex')
const keysMax = 10_000

/** Making a key object costs more than using it, and a fleet uses few keys very often. */
function remember(make: (bytes: Uint8Array) => KeyObject): (bytes: Uint8Array) => KeyObject {
  const known = new Map<string, KeyObject>()
  return (bytes) => {
    const name = Buffer.from(bytes).toString('base64')
    const key = known.get(name) ?? make(bytes)
    if (known.size < keysMax) known.set(name, key)
    return key
  }
}

const privateKeyOf = remember((der) => createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' }))
const publicKeyOf = remember((raw) => createPublicKey({ key: Buffer.concat([publicKeyPrefix, raw]), format: 'der', type: 'spki' }))
const own = (bytes: ArrayBuffer | Uint8Array): Uint8Array => new Uint8Array(bytes)

/** The protocol's primitives by node:crypto: synchronous, so that a run can be repeated step by step, and fast. */
export const syncCrypto = {
  sha256: (bytes) => own(createHash('sha256').update(bytes).digest()),
  hmac: (key, bytes) => own(createHmac('sha256', key).update(bytes).digest()),
  derive: (secret, info) => own(hkdfSync('sha256', secret, new Uint8Array(0), info, 32)),
  sign: (privateKey, bytes) => own(sign(null, bytes, privateKeyOf(privateKey))),
  verify: (publicKey, bytes, signature) => publicKey.length === 32 && signature.length === 64 && verify(null, bytes, publicKeyOf(publicKey), signature),
  generateKeyPair: () => {
    const pair = generateKeyPairSync('ed25519')
    return {
      publicKey: own(pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(publicKeyPrefix.length)),
      privateKey: own(pair.privateKey.export({ format: 'der', type: 'pkcs8' })),
    }
  },
  publicKeyOf: nodeCrypto.publicKeyOf as (privateKey: Uint8Array) => Uint8Array,
  seal: nodeCrypto.seal as (key: Uint8Array, nonce: Uint8Array, plain: Uint8Array) => Uint8Array,
  unseal: nodeCrypto.unseal as (key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array) => Uint8Array | null,
} satisfies Crypto
