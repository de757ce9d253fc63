import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createKeyFile, readKeyFile, type KeyRole, type OwnKey } from '../../cli/keys/key-file.ts'
import { signTrust } from '../../cli/keys/sign-trust.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { makePrivateDirectory, readIfThere } from '../../functions/platform/secret-file.ts'
import { fromBase64, fromUtf8, toBase64 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { Envelope } from '../../protocol/envelope.ts'
import { Trust } from '../../protocol/trust.ts'

/** The keys that in earnest lie with people, offline and with the pipeline, and in practice beside everything else. */
export type PracticeKeys = {
  rootFingerprint: string
  publisher: OwnKey
  trust: Envelope
  rootKeyPath: string
  publisherKeyPath: string
  /** Whether they were made just now. */
  isNew: boolean
}

/**
 * Root key, publisher key and the `trust.json` that the root signed; made at the first start, by the same steps as `murmur key`. Once
 * there is a trust.json the root key is not needed any more, and may have been moved away.
 */
export async function openPracticeKeys(crypto: Crypto, dataDirectory: string, fleet: string): Promise<PracticeKeys> {
  const directory = join(dataDirectory, 'keys')
  await makePrivateDirectory(directory)
  const paths = { rootKeyPath: join(directory, 'root.pem'), publisherKeyPath: join(directory, 'publisher.pem') }
  const publisher = await openKey(paths.publisherKeyPath, 'publisher')
  const trustPath = join(dataDirectory, 'trust.json')
  const held = await readIfThere(trustPath)
  if (held !== null) {
    const trust = Envelope.parse(JSON.parse(held))
    const { rootKey } = Trust.parse(JSON.parse(fromUtf8(fromBase64(trust.payload))))
    return { rootFingerprint: rootKey.keyid, publisher, trust, ...paths, isNew: false }
  }
  const root = await openKey(paths.rootKeyPath, 'root')
  const { fleet: fleetKey } = await openNodeKeys(crypto, dataDirectory)
  const listed = (key: { keyid: OwnKey['keyid']; publicKey: Uint8Array }, name: string) => ({ keyid: key.keyid, publicKey: toBase64(key.publicKey), name })
  const changes = { addPublishers: [listed(publisher, 'practice publisher')], addFleetKeys: [listed(fleetKey, 'practice controller')], remove: [] }
  const { envelope } = await signTrust(root, { previous: null, fleet, changes, nowMs: Date.now() })
  await writeFile(trustPath, `${JSON.stringify(envelope, null, 2)}\n`, { mode: 0o600 })
  return { rootFingerprint: root.keyid, publisher, trust: envelope, ...paths, isNew: true }
}

async function openKey(path: string, role: KeyRole): Promise<OwnKey> {
  if ((await readIfThere(path)) === null) await createKeyFile(path, role, `practice ${role}`)
  return readKeyFile(path)
}
