import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { listAll, type Client } from '../../cli/client.ts'
import { readIfThere } from '../../functions/platform/secret-file.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { alarmContracts, type AlarmView } from '../../protocol/http/alarms.ts'
import { rolloutContracts, type RolloutView } from '../../protocol/http/rollouts.ts'
import type { RolloutId, SiteId } from '../../protocol/ids.ts'
import type { PracticeSite } from './plan-fleet.ts'
import { spoolBudgetBytes, spoolPath } from './prepare-monitoring.ts'

/** A fault at the canary in the middle of a rollout: its spool fills, and somebody frees it once the rollout has stopped. */
export type PracticeFault = {
  canary: PracticeSite
  /** Fills the spool as soon as the canary has begun; resolves when it has, or when `signal` says that nobody waits any more. */
  fill(rollout: RolloutId, signal: AbortSignal): Promise<void>
  /** Frees the spool, and resolves with the rollout once the alarm has cleared and it goes on. */
  mend(rollout: RolloutId): Promise<RolloutView>
}
export type FaultTelling = { filled(site: string, path: string): void; stopped(view: RolloutView, alarm: AlarmView | null): void; freed(path: string): void; resumed(): void }

const pollMs = 250

/** The fault of a data directory; null once it has been played there, or where nobody could be spared by stopping. */
export async function openFault(client: Client, dataDirectory: string, sites: readonly PracticeSite[], tell: FaultTelling): Promise<PracticeFault | null> {
  const canary = sites.find(({ labels }) => labels['tier'] === 'canary')
  const notePath = join(dataDirectory, 'fault-played')
  if (canary === undefined || sites.length < 2 || (await readIfThere(notePath)) !== null) return null
  const directory = join(canary.nodes[0]!.root, spoolPath)
  const file = join(directory, 'queue')
  const hasBegun = async (rollout: RolloutId): Promise<boolean> =>
    (await listAll((page) => client.call(rolloutContracts.listDeployments, { params: { rollout }, query: page }))).some(({ site, attempt }) => site === canary.id && attempt > 0)
  const standing = async (): Promise<AlarmView | null> =>
    (await client.call(alarmContracts.listAlarms, { query: { site: canary.id as SiteId, alarmId: alarmIds.directory, all: 'true' } })).items[0] ?? null
  return {
    canary,
    async fill(rollout, signal) {
      while (!(await hasBegun(rollout))) {
        if (signal.aborted) return
        await sleep(pollMs)
      }
      await mkdir(directory, { recursive: true })
      await writeFile(file, Buffer.alloc(0.97 * spoolBudgetBytes))
      tell.filled(canary.id, file)
    },
    async mend(rollout) {
      tell.stopped(await client.call(rolloutContracts.getRollout, { params: { rollout } }), await standing())
      await rm(file, { force: true })
      tell.freed(file)
      while ((await standing()) !== null) await sleep(pollMs)
      const view = await client.call(rolloutContracts.resumeRollout, { params: { rollout }, body: { reason: 'the spool is free again' } })
      await writeFile(notePath, `${canary.id}\n`)
      tell.resumed()
      return view
    },
  }
}
