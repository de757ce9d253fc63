import { toBase64, utf8 } from '../../protocol/bytes.ts'
import { keyIdOf, signEnvelope, type Envelope, type PayloadType, type SigningKey } from '../../protocol/envelope.ts'
import { FleetId } from '../../protocol/ids.ts'
import type { Trust, TrustedKey } from '../../protocol/trust.ts'
import { syncCrypto } from '../support/sync-crypto.ts'

export type Key = SigningKey & { publicKey: Uint8Array; trusted: TrustedKey }

/** A new Ed25519 key with its id, as it signs and as `trust.json` lists it. */
export async function newKey(name: string): Promise<Key> {
  const { publicKey, privateKey } = syncCrypto.generateKeyPair()
  const keyid = await keyIdOf(syncCrypto, publicKey)
  return { keyid, privateKey, publicKey, trusted: { keyid, publicKey: toBase64(publicKey), name } }
}

export const signJson = (type: PayloadType, value: unknown, key: SigningKey): Promise<Envelope> => signEnvelope(syncCrypto, type, utf8(JSON.stringify(value)), key)

export const fleet = FleetId.parse('practice')

/** A trust document by this root, with what `changes` says otherwise. */
export const trustOf = (root: Key, publisher: Key, fleetKey: Key, changes: Partial<Trust> = {}): Trust => ({
  v: 1, fleet, version: 3, issuedAtMs: 1000, rootKey: root.trusted, publisherKeys: [publisher.trusted], fleetKeys: [fleetKey.trusted], ...changes,
})
