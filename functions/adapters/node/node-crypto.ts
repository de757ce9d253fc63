import { createCipheriv, createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, createSecretKey, generateKeyPairSync, hkdfSync, sign, verify, type KeyObject } from 'node:crypto'
import type { Crypto } from '../../../protocol/crypto.ts'

const rawPublicKeyBytes = 32
const sealTagBytes = 16
const cipher = 'aes-256-gcm'
// SubjectPublicKeyInfo of Ed25519 up to the raw key (RFC 8410 §4)
const publicKeyHead = Buffer.from('302a300506032b6570032100', 'hex')

/** Remembers the key object made from some bytes, as long as somebody holds them: making one costs several times what using it does. */
function remember(make: (bytes: Uint8Array) => KeyObject): (bytes: Uint8Array) => KeyObject {
  const made = new WeakMap<Uint8Array, KeyObject>()
  return (bytes) => {
    const key = made.get(bytes) ?? make(bytes)
    made.set(bytes, key)
    return key
  }
}

const privateKeyOf = remember((der) => createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' }))
const publicKeyOf = remember((raw) => createPublicKey({ key: Buffer.concat([publicKeyHead, raw]), format: 'der', type: 'spki' }))
const secretKeyOf = remember((bytes) => createSecretKey(bytes))

/** Node's own one-shot functions: synchronous, and for short messages many times faster than WebCrypto's promises. */
export const nodeCrypto: Crypto = {
  sha256: (bytes) => createHash('sha256').update(bytes).digest(),
  hmac: (key, bytes) => createHmac('sha256', secretKeyOf(key)).update(bytes).digest(),
  derive: (secret, info) => new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), info, 32)),
  sign: (privateKey, bytes) => sign(null, bytes, privateKeyOf(privateKey)),
  verify(publicKey, bytes, signature) {
    if (publicKey.length !== rawPublicKeyBytes || signature.length !== 64) return false
    try {
      return verify(null, bytes, publicKeyOf(publicKey), signature)
    } catch {
      return false
    }
  },
  generateKeyPair() {
    const pair = generateKeyPairSync('ed25519')
    const spki = pair.publicKey.export({ format: 'der', type: 'spki' })
    return { publicKey: new Uint8Array(spki.subarray(publicKeyHead.length)), privateKey: new Uint8Array(pair.privateKey.export({ format: 'der', type: 'pkcs8' })) }
  },
  publicKeyOf(privateKey) {
    const spki = createPublicKey(privateKeyOf(privateKey)).export({ format: 'der', type: 'spki' })
    return new Uint8Array(spki.subarray(publicKeyHead.length))
  },
  seal(key, nonce, plain) {
    const sealing = createCipheriv(cipher, key, nonce)
    return new Uint8Array(Buffer.concat([sealing.update(plain), sealing.final(), sealing.getAuthTag()]))
  },
  unseal(key, nonce, sealed) {
    try {
      const opening = createDecipheriv(cipher, key, nonce, { authTagLength: sealTagBytes })
      opening.setAuthTag(sealed.subarray(-sealTagBytes))
      return new Uint8Array(Buffer.concat([opening.update(sealed.subarray(0, -sealTagBytes)), opening.final()]))
    } catch {
      return null
    }
  },
}
