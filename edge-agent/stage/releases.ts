import { fromBase64, fromUtf8, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { digestOf, Envelope, openEnvelope, parsePayload, payloadTypes } from '../../protocol/envelope.ts'
import { agentContracts } from '../../protocol/http/agent.ts'
import type { Digest, ReleaseRef } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { Manifest } from '../../protocol/manifest.ts'
import { verifyingKeys, type Trust } from '../../protocol/trust.ts'
import type { Files } from '../host/host.ts'
import type { Controller } from '../link/controller.ts'
import { StepError } from '../step-error.ts'

/** A release that this site does not accept (SPEC §5). */
export class ReleaseRefused extends StepError {
  constructor(reason: string, detail: string) {
    super({ code: 'release-refused', detail: `${reason}: ${detail}`.slice(0, limits.reasonLengthMax) })
    this.name = 'ReleaseRefused'
  }
}

type IndexRef = { index: Digest; indexBytes: number }

/** The manifests a site has, by digest, and the way to new ones. */
export interface Releases {
  /** A manifest that was accepted earlier, by its digest. Throws when it is not here whole. */
  load(digest: Digest): Promise<Manifest>
  /** The manifest of a release, fetched if it is not here, with its signature checked against the publishers of today (R1). */
  obtain(release: ReleaseRef, signal: AbortSignal): Promise<Manifest>
  /** Where the delivery index of a release is. */
  indexOf(release: ReleaseRef, signal: AbortSignal): Promise<IndexRef>
  stored(): Promise<string[]>
  forget(digest: string): Promise<void>
}

export function createReleases(files: Files, crypto: Crypto, directory: string, controller: Controller, trust: () => Trust): Releases {
  const pathOf = (digest: string): string => `${directory}/${digest}.json`

  async function readEnvelope(digest: Digest): Promise<Envelope | null> {
    if ((await files.facts(pathOf(digest))) === null) return null
    try {
      const envelope = Envelope.parse(JSON.parse(fromUtf8(await files.read(pathOf(digest)))))
      return (await digestOf(crypto, fromBase64(envelope.payload))) === digest ? envelope : null
    } catch {
      return null
    }
  }

  async function open(release: ReleaseRef, envelope: unknown): Promise<Manifest> {
    const opened = await openEnvelope(crypto, envelope, payloadTypes.manifest, verifyingKeys(trust().publisherKeys))
    if (!opened.ok) throw new ReleaseRefused(opened.refusal.reason, 'no publisher that this site trusts signed this manifest')
    const digest = await digestOf(crypto, opened.value.payload)
    if (digest !== release.digest) throw new ReleaseRefused('other-manifest', `the manifest that came is ${digest}`)
    if (opened.value.payload.length > limits.manifestBytesMax) throw new ReleaseRefused('too-long', `${opened.value.payload.length} bytes`)
    const manifest = parsePayload(Manifest, opened.value.payload)
    if (!manifest.ok) throw new ReleaseRefused(manifest.refusal.reason, manifest.refusal.detail)
    return manifest.value
  }

  const ask = (release: ReleaseRef, signal: AbortSignal) => controller.callUntil(agentContracts.getAgentManifest, { params: { digest: release.digest } }, signal)

  return {
    async load(digest) {
      const envelope = await readEnvelope(digest)
      const manifest = envelope === null ? null : parsePayload(Manifest, fromBase64(envelope.payload))
      if (manifest === null || !manifest.ok) throw new StepError({ code: 'manifest-missing', detail: `the manifest ${digest} is not here whole` })
      return manifest.value
    },
    async obtain(release, signal) {
      const here = await readEnvelope(release.digest)
      if (here !== null) return open(release, here)
      const { envelope } = await ask(release, signal)
      const manifest = await open(release, envelope)
      await files.writeDurable(pathOf(release.digest), utf8(JSON.stringify(envelope)))
      return manifest
    },
    async indexOf(release, signal) {
      const { index, indexBytes } = await ask(release, signal)
      return { index, indexBytes }
    },
    stored: async () => (await files.list(directory)).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length)),
    forget: (digest) => files.remove(pathOf(digest)),
  }
}
