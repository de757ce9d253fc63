import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fromBase64, toBase64 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { keyIdOf, type SigningKey } from '../../protocol/envelope.ts'
import type { Keys } from '../ports/keys.ts'
import { readOrMakeSecret } from './secret-file.ts'

/** An Ed25519 key from its file: to sign with, and the public half, raw. */
export type KeyOfFile = SigningKey & { publicKey: Uint8Array }

/** The Ed25519 key in a PKCS #8 PEM file that only its owner may read; made where there is none. */
export async function readOrMakeKey(crypto: Crypto, path: string): Promise<KeyOfFile> {
  const pem = await readOrMakeSecret(path, () => generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }) as string)
  const key = createPrivateKey(pem)
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`${path} holds a ${String(key.asymmetricKeyType)} key; an Ed25519 key is needed`)
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  const publicKey = new Uint8Array(spki.subarray(-32))
  return { keyid: await keyIdOf(crypto, publicKey), publicKey, privateKey: new Uint8Array(key.export({ format: 'der', type: 'pkcs8' })) }
}

/** The controller's own secrets, in `keys/` of its data directory; made at the first start. */
export async function openNodeKeys(crypto: Crypto, dataDirectory: string): Promise<Keys & { objectSecret: Uint8Array; fleet: KeyOfFile }> {
  const fleet = await readOrMakeKey(crypto, join(dataDirectory, 'keys', 'fleet-key.pem'))
  const ingestSecret = fromBase64((await readOrMakeSecret(join(dataDirectory, 'keys', 'ingest-secret'), () => toBase64(randomBytes(32)))).trim())
  if (ingestSecret.length < 32) throw new Error(`the ingest secret in ${dataDirectory} is shorter than 32 bytes`)
  return { fleet, fleetKey: () => fleet, ingestSecret: () => ingestSecret, objectSecret: await crypto.derive(ingestSecret, 'murmur object urls') }
}
