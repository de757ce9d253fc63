import * as z from 'zod'
import type { Crypto } from '../../protocol/crypto.ts'
import { NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { MonitoringSettings } from '../../protocol/monitoring.ts'
import { StandingAlarm } from '../../protocol/reports.ts'
import type { Files } from '../host/host.ts'
import { openStore, StoreError, type Store } from '../journal/store.ts'
import { explain, type Log } from '../log.ts'

/**
 * What monitoring keeps between two starts of the agent: it is written only when it changes. Settings that another version of the agent
 * took in and this one cannot read are as if they had not come: `standing` says so, and they come again.
 */
const MonitorState = z.object({
  v: z.literal(1),
  settings: MonitoringSettings.nullable().catch(null),
  alarms: z.array(StandingAlarm.extend({ scope: z.string() })).max(limits.alarmsPerSiteMax),
  interfaces: z.record(NodeName, z.array(z.string()).max(limits.interfacesPerNodeMax)),
})
export type MonitorState = z.infer<typeof MonitorState>

/** Before anything was written. */
export const emptyState: MonitorState = { v: 1, settings: null, alarms: [], interfaces: {} }

/** Opens it; what is damaged is begun anew, since all of it can be learned again (F22). */
export async function openMonitorState(files: Files, crypto: Crypto, path: string, log: Log): Promise<Store<MonitorState>> {
  const open = (): Promise<Store<MonitorState>> => openStore(files, crypto, path, MonitorState)
  return open().catch(async (error: unknown) => {
    if (!(error instanceof StoreError)) throw error
    log('warn', 'monitoring-begun-anew', { error: explain(error) })
    for (const slot of [0, 1]) await files.remove(`${path}.${slot}`)
    return open()
  })
}
