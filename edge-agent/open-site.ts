import type { Crypto } from '../protocol/crypto.ts'
import type { AgentConfig } from './config.ts'
import { ensureDirectory } from './driver/durable.ts'
import { freshState, HeldState } from './held/state.ts'
import type { Host } from './host/host.ts'
import { openTrustStore, readIdentity, type SiteIdentity, type TrustStore } from './identity.ts'
import { JournalRecord } from './journal/record.ts'
import { openStore, type Store } from './journal/store.ts'
import type { StatePaths } from './state-paths.ts'

/** All that a site keeps between two lives of its agent, save its reports. */
export type Site = { identity: SiteIdentity; trust: TrustStore; held: Store<HeldState>; journal: Store<JournalRecord> }

/** Opens the state directory of an enrolled site. Throws where it is not one, or where its files are damaged. */
export async function openSite(host: Host, crypto: Crypto, config: AgentConfig, paths: StatePaths): Promise<Site> {
  for (const directory of [paths.spool, paths.manifests, paths.content, paths.partial, paths.trees, paths.nodes]) await ensureDirectory(host.files, directory)
  const identity = await readIdentity(host.files, paths)
  if (identity === null) throw new Error(`this site is not enrolled: run "murmur-agent enrol" first (nothing at ${paths.identity})`)
  const { site, fleet, incarnation, trust } = identity.enrolment
  if (site !== config.site || fleet !== config.fleet) throw new Error(`agent.json is of ${config.fleet}/${config.site}, the identity of ${fleet}/${site}`)
  const held = await openStore(host.files, crypto, paths.held, HeldState)
  if (held.current?.incarnation !== incarnation) {
    // what waits to be sent has the numbers of the incarnation before: under the new one they would hide all that is said from now on (I8)
    await host.files.remove(paths.spool)
    await ensureDirectory(host.files, paths.spool)
    await held.write(freshState(incarnation, held.current))
  }
  return { identity, held, trust: await openTrustStore(host.files, crypto, paths, config, trust), journal: await openStore(host.files, crypto, paths.journal, JournalRecord) }
}
