import { canonicalJson, fromBase64 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { digestOf, openEnvelope, parsePayload, payloadTypes } from '../../protocol/envelope.ts'
import { agentContracts } from '../../protocol/http/agent.ts'
import { releaseContracts } from '../../protocol/http/releases.ts'
import { Manifest, manifestReleaseId } from '../../protocol/manifest.ts'
import { openTrust, verifyingKeys, type Trust } from '../../protocol/trust.ts'
import { CliError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { explainDifference } from './explain-difference.ts'
import type { ReleaseFile } from './release-file.ts'
import { scanRelease } from './scan-release.ts'

export type Verified = { release: string; digest: string; publisher: { keyid: string; name: string }; trustVersion: number; rootFingerprint: string; source: 'not compared' | 'equal' }

/**
 * Checks what the controller says about a release without believing it: the trust document against the root's fingerprint,
 * the manifest against the publishers in it, the digest against the manifest's bytes, and with `file` the content against
 * a source directory. Throws CliError `not-verified` saying what is wrong.
 */
export async function verifyRelease(client: Client, id: string, options: { rootFingerprint: string; file?: ReleaseFile }): Promise<Verified> {
  const { rootFingerprint } = options
  const params = { release: id }
  const trust = await verifiedTrust(client, rootFingerprint)
  const [release, { envelope }] = [await client.call(releaseContracts.getRelease, { params }), await client.call(releaseContracts.getManifest, { params })]
  const opened = await openEnvelope(webCrypto, envelope, payloadTypes.manifest, verifyingKeys(trust.publisherKeys))
  if (!opened.ok) throw new CliError('not-verified', `no publisher in trust.json ${trust.version} signed the manifest of ${id} (${opened.refusal.reason})`)
  const manifest = parsePayload(Manifest, opened.value.payload)
  if (!manifest.ok) throw new CliError('not-verified', `the manifest of ${id} is malformed: ${manifest.refusal.detail}`)
  const named = manifestReleaseId(manifest.value)
  if (named !== id) throw new CliError('not-verified', `the manifest that the controller gives for ${id} is the one of ${named}`)
  const digest = await digestOf(webCrypto, opened.value.payload)
  if (digest !== release.digest) throw new CliError('not-verified', `the controller calls the digest of ${id} ${release.digest}, and the manifest's is ${digest}`)
  if (options.file !== undefined) await compareSource(options.file, manifest.value, envelope.payload)
  const publisher = trust.publisherKeys.find((key) => key.keyid === opened.value.keyid)!
  return { release: id, digest, publisher: { keyid: publisher.keyid, name: publisher.name }, trustVersion: trust.version, rootFingerprint, source: options.file === undefined ? 'not compared' : 'equal' }
}

async function verifiedTrust(client: Client, rootFingerprint: string): Promise<Trust> {
  const envelope = await client.call(agentContracts.getTrust, {})
  const opened = await openTrust(webCrypto, envelope, { rootFingerprint, heldVersion: null })
  if (!opened.ok) throw new CliError('not-verified', `the controller's trust.json is not one that the root ${rootFingerprint} signed (${opened.refusal.reason})`)
  return opened.value
}

async function compareSource(file: ReleaseFile, manifest: Manifest, payload: string): Promise<void> {
  const { manifest: own } = await scanRelease(file, { createdAtMs: manifest.createdAtMs })
  if (canonicalJson(own) === Buffer.from(fromBase64(payload)).toString('utf8')) return
  throw new CliError('not-verified', `${file.path} is not what was published as ${manifestReleaseId(manifest)}`, { details: explainDifference(manifest, own) })
}
