import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { listAll, type Client } from '../../cli/client.ts'
import type { Io } from '../../cli/io.ts'
import type { OwnKey } from '../../cli/keys/key-file.ts'
import { publishRelease } from '../../cli/publish/publish-release.ts'
import type { ReleaseFile } from '../../cli/publish/release-file.ts'
import { judgeEnd } from '../../cli/watch/judge-end.ts'
import { watchRollout } from '../../cli/watch/watch-rollout.ts'
import { readIfThere } from '../../functions/platform/secret-file.ts'
import { rolloutContracts, type RolloutView } from '../../protocol/http/rollouts.ts'
import { releaseId, type ReleaseId } from '../../protocol/ids.ts'
import type { PracticeSite } from './plan-fleet.ts'
import type { PracticeFault } from './play-fault.ts'

/** Two releases, and the file on a node that makes the health check of the second one refuse it. */
export type Scenario = { first: ReleaseFile; second: ReleaseFile; markerPath: string }
export type Played = { first: RolloutView; second: RolloutView }
/** Told what happens, in the order in which it does. */
export type Telling = { publishing(release: ReleaseId): void; published(release: ReleaseId): void; rollout(view: RolloutView, isNew: boolean): void; ended(view: RolloutView): void }

const pollMs = 500

/**
 * Publishes the first release and takes the fleet to it, then the second. What an earlier start has done already is not
 * done again, and what it began goes on.
 */
export async function playScenario(parts: Parts & { scenario: Scenario; fault: PracticeFault | null }): Promise<Played> {
  const { scenario, fault } = parts
  return { first: await bringRelease(parts, scenario.first, null), second: await bringRelease(parts, scenario.second, fault) }
}

type Parts = { client: Client; io: Pick<Io, 'out' | 'terminal' | 'nowMs' | 'sleep'>; key: OwnKey; sites: readonly PracticeSite[]; tell: Telling }

async function bringRelease({ client, io, key, sites, tell }: Parts, file: ReleaseFile, fault: PracticeFault | null): Promise<RolloutView> {
  const release = idOf(file)
  const name = `practice ${release}`
  let rollout = (await listAll((page) => client.call(rolloutContracts.listRollouts, { query: page }))).find((other) => other.name === name)
  const isNew = rollout === undefined
  if (rollout === undefined) {
    tell.publishing(release)
    await publishRelease({ client, file, key })
    tell.published(release)
    rollout = await client.call(rolloutContracts.createRollout, { body: { name, target: { release }, selector: { all: true }, policy: policyFor(sites, fault === null ? '2s' : '20s') } })
  }
  tell.rollout(rollout, isNew)
  if (fault !== null && rollout.state !== 'completed') await watchWithFault(client, io, rollout, fault)
  else if (judgeEnd(rollout, false) === null) await watchRollout(client, io, rollout.id, { stay: false, pollMs })
  const ended = await client.call(rolloutContracts.getRollout, { params: { rollout: rollout.id } })
  tell.ended(ended)
  return ended
}

/** Watches until the fault has stopped the rollout, has it mended, and watches on. */
async function watchWithFault(client: Client, io: Parts['io'], rollout: RolloutView, fault: PracticeFault): Promise<void> {
  const over = new AbortController()
  const filling = fault.fill(rollout.id, over.signal)
  await watchRollout(client, io, rollout.id, { stay: false, pollMs })
  over.abort()
  await filling
  const { pauses } = await client.call(rolloutContracts.getRollout, { params: { rollout: rollout.id } })
  if (!pauses.some(({ reason }) => reason === 'alarm')) return
  await fault.mend(rollout.id)
  await watchRollout(client, io, rollout.id, { stay: false, pollMs })
}

export const idOf = ({ source }: ReleaseFile): ReleaseId => releaseId(source.name, source.version)

/** A canary that has to stay well for a while, then those that like to be early, then all others; never more than half of a region at once. */
function policyFor(sites: readonly PracticeSite[], soak: string) {
  const wave = (tier: string, settings: object) => (sites.some(({ labels }) => labels['tier'] === tier) ? [{ name: tier, size: 'rest' as const, selector: { matchLabels: { tier } }, ...settings }] : [])
  return {
    waves: [...wave('canary', { barrier: true, successThreshold: 1, soak }), ...wave('early', { barrier: true, successThreshold: 1 }), ...wave('broad', {})],
    maxParallel: '34%' as const,
    groupBy: { label: 'region', maxParallel: '50%' as const },
    // one site is prepared to refuse the second release; a second refusal would be news
    failureThreshold: { value: 2, minExecuted: 1 },
    maxDuration: '10m',
    // a later start with more sites takes the new ones along
    joiners: 'include' as const,
  }
}

/** The file that makes a site refuse lies on the node that is updated last: so the other nodes have to be taken back too. */
export const markerOf = (site: PracticeSite, scenario: Scenario): string => join(site.nodes.find((node) => node.hasAgent)!.root, scenario.markerPath)

/**
 * The site that is made to refuse the second release: one of the last wave, so that the others have it by then; null where
 * there is none. It is prepared once in the life of a data directory: whoever took its file away wants it to stay away.
 */
export async function openRefusal(dataDirectory: string, sites: readonly PracticeSite[], scenario: Scenario): Promise<PracticeSite | null> {
  const notePath = join(dataDirectory, 'refusing-site')
  const note = await readIfThere(notePath)
  if (note !== null) return sites.find(({ id }) => id === note.trim()) ?? null
  const chosen = sites.findLast(({ labels }) => labels['tier'] === 'broad') ?? null
  if (chosen === null) return null
  const path = markerOf(chosen, scenario)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, 'This node is meant to refuse the release: remove this file, and retry the rollout.\n')
  await writeFile(notePath, `${chosen.id}\n`)
  return chosen
}
