import { fromBase64, utf8 } from './bytes.ts'

type MaybePromise<T> = T | Promise<T>

/**
 * The few primitives everything rests on: SHA-256, HMAC-SHA-256, HKDF-SHA-256, AES-256-GCM and Ed25519.
 * A port, because the simulator needs synchronous answers to replay a seed bit for bit, and Node's own
 * one-shot functions are many times faster than WebCrypto's promises for short messages.
 */
export interface Crypto {
  sha256(bytes: Uint8Array): MaybePromise<Uint8Array>
  hmac(key: Uint8Array, bytes: Uint8Array): MaybePromise<Uint8Array>
  /** HKDF-SHA-256 with an empty salt: 32 bytes bound to `info`. */
  derive(secret: Uint8Array, info: string): MaybePromise<Uint8Array>
  /** `privateKey` is PKCS #8 DER. Returns the 64-byte Ed25519 signature. */
  sign(privateKey: Uint8Array, bytes: Uint8Array): MaybePromise<Uint8Array>
  /** `publicKey` is the raw 32 bytes. False for a bad signature, never an exception. */
  verify(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): MaybePromise<boolean>
  generateKeyPair(): MaybePromise<KeyPair>
  /** The raw 32 bytes of the public key that belongs to a private one. */
  publicKeyOf(privateKey: Uint8Array): MaybePromise<Uint8Array>
  /** AES-256-GCM: the ciphertext with its tag of 16 bytes behind it. The 12 bytes of `nonce` are used once with a key of 32 bytes. */
  seal(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array): MaybePromise<Uint8Array>
  /** What was sealed; null where key, nonce or a byte is another one, never an exception. */
  unseal(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): MaybePromise<Uint8Array | null>
}

/** An Ed25519 pair: the public key raw (32 bytes), the private key as PKCS #8 DER. */
export type KeyPair = { publicKey: Uint8Array; privateKey: Uint8Array }

const own = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => bytes as Uint8Array<ArrayBuffer>

async function hmacKey(key: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', own(key), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
}

async function sealingKey(key: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', own(key), 'AES-GCM', false, ['encrypt', 'decrypt'])
}

/** WebCrypto: what Workers, Node and browsers have in common. */
export const webCrypto: Crypto = {
  sha256: async (bytes) => new Uint8Array(await crypto.subtle.digest('SHA-256', own(bytes))),
  hmac: async (key, bytes) => new Uint8Array(await crypto.subtle.sign('HMAC', await hmacKey(key), own(bytes))),
  derive: async (secret, info) => {
    const base = await crypto.subtle.importKey('raw', own(secret), 'HKDF', false, ['deriveBits'])
    const parameters = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: utf8(info) }
    return new Uint8Array(await crypto.subtle.deriveBits(parameters, base, 256))
  },
  sign: async (privateKey, bytes) => {
    const key = await crypto.subtle.importKey('pkcs8', own(privateKey), 'Ed25519', false, ['sign'])
    return new Uint8Array(await crypto.subtle.sign('Ed25519', key, own(bytes)))
  },
  verify: async (publicKey, bytes, signature) => {
    if (publicKey.length !== 32 || signature.length !== 64) return false
    const key = await crypto.subtle.importKey('raw', own(publicKey), 'Ed25519', false, ['verify'])
    return crypto.subtle.verify('Ed25519', key, own(signature), own(bytes))
  },
  generateKeyPair: async () => {
    const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair
    return {
      publicKey: new Uint8Array((await crypto.subtle.exportKey('raw', pair.publicKey)) as ArrayBuffer),
      privateKey: new Uint8Array((await crypto.subtle.exportKey('pkcs8', pair.privateKey)) as ArrayBuffer),
    }
  },
  publicKeyOf: async (privateKey) => {
    const key = await crypto.subtle.importKey('pkcs8', own(privateKey), 'Ed25519', true, ['sign'])
    const { x } = (await crypto.subtle.exportKey('jwk', key)) as { x: string }
    return fromBase64(x.replaceAll('-', '+').replaceAll('_', '/').padEnd(44, '='))
  },
  seal: async (key, nonce, plain) => new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv: own(nonce) }, await sealingKey(key), own(plain))),
  unseal: async (key, nonce, sealed) => {
    try {
      return new Uint8Array(await crypto.subtle.decrypt({ name: 'AES-GCM', iv: own(nonce) }, await sealingKey(key), own(sealed)))
    } catch {
      return null
    }
  },
}
