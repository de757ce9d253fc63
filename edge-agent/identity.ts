import * as z from 'zod'
import { fromBase64, fromUtf8, utf8 } from '../protocol/bytes.ts'
import type { Crypto } from '../protocol/crypto.ts'
import { Envelope } from '../protocol/envelope.ts'
import { Enrolment } from '../protocol/http/agent.ts'
import { openTrust, type Trust } from '../protocol/trust.ts'
import type { AgentConfig } from './config.ts'
import type { Files } from './host/host.ts'
import type { StatePaths } from './state-paths.ts'

/** Who this site is, since its enrolment: the secrets of the agent. Readable by its owner only. */
export const SiteIdentity = z.object({
  v: z.literal(1),
  privateKey: z.base64(),
  enrolment: Enrolment,
})
export type SiteIdentity = z.infer<typeof SiteIdentity>

export const writeIdentity = (files: Files, paths: StatePaths, identity: SiteIdentity): Promise<void> => files.writeDurable(paths.identity, utf8(JSON.stringify(identity)), 0o600)

/** The identity, or null before the first enrolment. Throws on a file that is not one. */
export async function readIdentity(files: Files, paths: StatePaths): Promise<SiteIdentity | null> {
  if ((await files.facts(paths.identity)) === null) return null
  return SiteIdentity.parse(JSON.parse(fromUtf8(await files.read(paths.identity))))
}

export const privateKeyOf = (identity: SiteIdentity): Uint8Array => fromBase64(identity.privateKey)
export const reportKeyOf = (identity: SiteIdentity): Uint8Array => fromBase64(identity.enrolment.reportKey)

/** What this site believes, and how a higher version of it is taken (SPEC I3). */
export interface TrustStore {
  readonly current: Trust
  /** Takes a `trust.json` if it is newer and the root that this site was enrolled with signed it; says whether it did. Throws on one that is not to be believed. */
  offer(envelope: unknown): Promise<boolean>
}

async function believe(crypto: Crypto, config: AgentConfig, envelope: unknown, heldVersion: number | null): Promise<Trust> {
  const opened = await openTrust(crypto, envelope, { rootFingerprint: config.rootFingerprint, fleet: config.fleet, heldVersion })
  if (!opened.ok) throw new Error(`trust.json is refused: ${JSON.stringify(opened.refusal)}`)
  return opened.value
}

/** The `trust.json` that was taken since the enrolment, checked again; null where there is none. Throws on one that this root did not sign. */
export async function readTrust(files: Files, crypto: Crypto, paths: StatePaths, config: AgentConfig): Promise<Trust | null> {
  if ((await files.facts(paths.trust)) === null) return null
  return believe(crypto, config, JSON.parse(fromUtf8(await files.read(paths.trust))), null)
}

/** Reads what is stored, checking it again; the enrolment's is the first. */
export async function openTrustStore(files: Files, crypto: Crypto, paths: StatePaths, config: AgentConfig, enrolled: Envelope): Promise<TrustStore> {
  const [first, later] = [await believe(crypto, config, enrolled, null), await readTrust(files, crypto, paths, config)]
  let current = later !== null && later.version > first.version ? later : first
  return {
    get current() {
      return current
    },
    async offer(envelope) {
      const offered = await believe(crypto, config, envelope, current.version)
      if (offered.version <= current.version) return false
      await files.writeDurable(paths.trust, utf8(JSON.stringify(envelope)))
      current = offered
      return true
    },
  }
}
