import { createPrivateKey, createPublicKey } from 'node:crypto'
import { toBase64 } from '../../protocol/bytes.ts'
import type { Crypto, KeyPair } from '../../protocol/crypto.ts'
import { keyIdOf, type SigningKey } from '../../protocol/envelope.ts'
import type { TrustedKey } from '../../protocol/trust.ts'
import { syncCrypto } from '../support/sync-crypto.ts'
import type { Random } from './random.ts'

/** DER before the 32 secret bytes of an Ed25519 private key, and before the 32 bytes of a public one (RFC 8410). */
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const publicPrefixBytes = 12

function pairOf(secret: Uint8Array): KeyPair {
  const privateKey = Buffer.concat([privatePrefix, secret])
  const publicKey = createPublicKey(createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' })).export({ format: 'der', type: 'spki' })
  return { privateKey: new Uint8Array(privateKey), publicKey: new Uint8Array(publicKey.subarray(publicPrefixBytes)) }
}

/** The protocol's primitives, synchronous, with key pairs that follow from the seed. Real signatures: Ed25519 is deterministic. */
export const seededCrypto = (random: Random): Crypto => ({ ...syncCrypto, generateKeyPair: () => pairOf(random.bytes(32)) })

export type SimKey = SigningKey & { pair: KeyPair; trusted: TrustedKey }

export async function seededKey(random: Random, name: string): Promise<SimKey> {
  const pair = pairOf(random.bytes(32))
  const keyid = await keyIdOf(syncCrypto, pair.publicKey)
  return { keyid, privateKey: pair.privateKey, pair, trusted: { keyid, publicKey: toBase64(pair.publicKey), name } }
}
