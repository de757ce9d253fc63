import type { SiteCheck } from '../../protocol/monitoring.ts'
import type { Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'
import type { Looked } from './judge.ts'
import { judgeCertificates, judgeCheck, judgeClock, judgeComponents, judgeDirectories, judgeDisks, judgeKubernetes, judgeUnits, type ComponentFound, type DirectoryFound } from './judge-site.ts'
import type { Watch } from './watch.ts'

export type SourceParts = {
  host: Host
  nodes: readonly Node[]
  /** Samples every node, and keeps the series. */
  lookAtNodes(watch: Watch): Promise<Looked>
  /** The agent's own, in PEM; `renewAtMs` of one that it renews by itself. */
  certificates(): Promise<{ name: string; pem: string; renewAtMs: number | null }[]>
  /** Tries a declared check once; null when it passed, else what was wrong. */
  check(check: SiteCheck, signal: AbortSignal): Promise<string | null>
  /** Health of the components that run, and whether their files are as installed but for those to be ignored; null while an attempt is under way. */
  components(ignore: readonly string[], signal: AbortSignal): Promise<ComponentFound[] | null>
}

/** One thing that is looked at again and again. Its name is the first word of its scopes. Null: nothing could be told this time. */
export type Source = { name: string; everyMs: number; look(signal: AbortSignal): Promise<Looked | null> }

/** Certificates change in days, time servers belong to somebody. */
const atLeastMs = { certificates: 3_600_000, clock: 60_000 }

/** All that these settings have the agent look at. */
export function sourcesOf(watch: Watch, parts: SourceParts): Source[] {
  const { host, nodes } = parts
  const { sensors } = host
  const everyMs = watch.everyS * 1000
  const own = nodes.find((node) => node.hasAgent)!
  const budgets = Object.entries(watch.directory.budgets)
  const source = (name: string, isWatched: boolean, spanMs: number, look: Source['look']): Source[] => (isWatched ? [{ name, everyMs: spanMs, look }] : [])

  async function lookAtDirectories(): Promise<Looked> {
    const found: DirectoryFound[] = []
    for (const node of nodes) {
      for (const [path, budgetBytes] of budgets) {
        const size = await sensors.directoryBytes(node, path)
        if (size !== null) found.push({ node: node.name, path, budgetBytes, found: size })
      }
    }
    return judgeDirectories(found, watch)
  }

  async function lookAtCertificates(): Promise<Looked> {
    const files = await Promise.all(watch.certificates.files.map(async (path) => ({ name: path, found: await sensors.certificate({ path }), renewAtMs: null })))
    const owned = await Promise.all((await parts.certificates()).map(async ({ name, pem, renewAtMs }) => ({ name, found: await sensors.certificate({ pem }), renewAtMs })))
    return judgeCertificates([...files, ...owned.filter(({ found }) => found.ok)], host.clock.nowMs(), watch)
  }

  async function lookAtClock(): Promise<Looked> {
    const { servers } = watch.clock
    return judgeClock(own.name, servers.length === 0 ? null : await sensors.clockOffsetMs(servers), await host.facts.clockSynchronised(), watch)
  }

  async function lookAtComponents(signal: AbortSignal): Promise<Looked | null> {
    const found = await parts.components(watch.components.ignore, signal)
    return found === null ? null : judgeComponents(found, watch)
  }

  return [
    ...source('nodes', true, everyMs, () => parts.lookAtNodes(watch)),
    ...source('units', watch.units.enabled, everyMs, async () => judgeUnits(own.name, await sensors.failedUnits(), watch)),
    ...source('disks', watch.disks.enabled, everyMs, async () => judgeDisks(own.name, await sensors.disks(), watch)),
    ...source('clock', true, Math.max(everyMs, atLeastMs.clock), lookAtClock),
    ...source('directories', budgets.length > 0, everyMs, lookAtDirectories),
    ...source('certificates', true, Math.max(everyMs, atLeastMs.certificates), lookAtCertificates),
    ...source('kubernetes', watch.kubernetes.enabled, everyMs, async () => judgeKubernetes(await sensors.kubernetes(watch.kubernetes.namespaces), watch)),
    ...source('components', watch.components.enabled, watch.components.everyS * 1000, lookAtComponents),
    ...watch.checks.flatMap((check) => source(`check:${check.name}`, true, check.everyS * 1000, async (signal) => judgeCheck(check.name, await parts.check(check, signal), check.severity, check))),
  ]
}
