import { toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import type { Digest } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { LiveSample } from '../../protocol/metrics.ts'
import { monitoringText, type MonitoringSettings } from '../../protocol/monitoring.ts'
import type { ReportBody, StandingAlarm } from '../../protocol/reports.ts'
import type { Store } from '../journal/store.ts'
import { explain, type Log } from '../log.ts'
import { decideAlarms, restoreAlarms, type AlarmChange, type Told } from './decide-alarms.ts'
import { bounded } from './entity-of.ts'
import { conditionsOf, judge, keepSources, restoreJudgement, type Looked } from './judge.ts'
import { createTurns } from './look-in-turns.ts'
import { createLive } from './show-live.ts'
import { sourcesOf, type SourceParts } from './sources.ts'
import { emptyState, type MonitorState } from './state.ts'
import { createNodeWatch } from './watch-nodes.ts'
import { watchOf } from './watch.ts'

export type MonitorParts = Omit<SourceParts, 'lookAtNodes'> & {
  crypto: Crypto
  log: Log
  state: Store<MonitorState>
  /** Keeps a report until it is sent; it goes at once, or not before `afterMs`. */
  report(body: ReportBody, afterMs?: number): Promise<void>
  /** For whoever looks now: sent or forgotten. */
  show(sample: LiveSample): Promise<void>
  life: AbortSignal
}

/** What a site watches by itself: sample → judge → decide → report, for ever. */
export interface Monitor {
  run(signal: AbortSignal): Promise<void>
  /** Watches by other settings from now on, once they are durable; refused where the disk does not take them: then nothing has changed. */
  follow(settings: MonitoringSettings): Promise<{ result: 'done' | 'refused'; detail: string }>
  show(everyS: number, forS: number): void
  /** Raises an alarm that the agent itself found, for as long as it lives. */
  raise(alarm: Omit<StandingAlarm, 'sinceMs'>): Promise<void>
  /** What is said of it behind each hello. */
  standing(): Promise<{ alarms: StandingAlarm[]; monitoring: Digest | null }>
}

/** So long after its end the last of many sites sends its block. */
const blockSpreadMs = 60_000

export function createMonitor(parts: MonitorParts): Monitor {
  const { host, crypto, log, state, report, life } = parts
  const { clock, random } = host
  const current = (): MonitorState => state.current ?? emptyState
  const own: StandingAlarm[] = []
  let watch = watchOf(current().settings)
  let judgement = restoreJudgement(current().alarms)
  let alarms = restoreAlarms(current().alarms)
  let queue: Promise<void> = Promise.resolve()
  const wallMs = (): number => Math.max(0, Math.round(clock.nowMs()))
  const standing = (): StandingAlarm[] => [...own, ...[...alarms.told.values()].map(plain)].slice(0, limits.alarmsPerSiteMax)

  /** Where the disk refuses, what stands is kept in memory alone (F23). */
  async function keep(change: Partial<MonitorState>): Promise<void> {
    await state.update((before: MonitorState | null) => ({ ...(before ?? emptyState), ...change })).catch((error: unknown) => log('warn', 'monitoring-kept-in-memory-only', { error: explain(error) }))
  }

  async function tell(): Promise<void> {
    const { after, changes } = decideAlarms(alarms, conditionsOf(judgement), { wallMs: wallMs(), monotonicMs: clock.monotonicMs() })
    alarms = after
    if (changes.length === 0) return
    await keep({ alarms: [...after.told.values()] })
    for (const change of changes) await tellOf(change)
  }

  async function tellOf({ raised, alarm }: AlarmChange): Promise<void> {
    log('info', raised ? 'alarm-raised' : 'alarm-cleared', { alarmId: alarm.alarmId, entity: alarm.entity, severity: alarm.severity, text: alarm.text })
    await report({ kind: 'alarm', raised, ...plain(alarm) })
  }

  function inTurn(work: () => Promise<void>): Promise<void> {
    queue = queue.then(work).catch((error: unknown) => log('error', 'not-judged', { error: explain(error) }))
    return queue
  }

  const nodeWatch = createNodeWatch({
    clock, sensors: host.sensors, nodes: parts.nodes,
    interfaces: () => current().interfaces,
    interfacesSeen: (interfaces) => keep({ interfaces }),
    async blockDone(block) {
      const sinceEndMs = Math.max(0, wallMs() - block.startMs - limits.metricBlockMs)
      await report({ kind: 'metrics', block, alarms: standing() }, Math.max(0, random.fraction() * blockSpreadMs - sinceEndMs))
    },
  })
  const live = createLive({ clock, log, life, sample: () => nodeWatch.live(watch), send: parts.show })
  const turns = createTurns({ clock, random, log, saw: (source: string, looked: Looked) => inTurn(async () => {
    judgement = judge(judgement, source, looked)
    await tell()
  }) })

  function watchAnew(): void {
    watch = watchOf(current().settings)
    const sources = sourcesOf(watch, { ...parts, lookAtNodes: nodeWatch.look })
    turns.set(sources)
    void inTurn(async () => {
      judgement = keepSources(judgement, new Set(sources.map(({ name }) => name)))
      await tell()
    })
  }

  return {
    async run(signal) {
      watchAnew()
      await turns.run(signal)
    },
    async follow(settings) {
      try {
        await state.update((before: MonitorState | null) => ({ ...(before ?? emptyState), settings }))
      } catch (error) {
        return { result: 'refused', detail: bounded(explain(error)) }
      }
      watchAnew()
      return { result: 'done', detail: '' }
    },
    show: live.show,
    async raise(alarm) {
      const raised = { ...alarm, sinceMs: wallMs() }
      own.push(raised)
      await report({ kind: 'alarm', raised: true, ...raised })
    },
    async standing() {
      const { settings } = current()
      const monitoring = settings === null ? null : (toHex(await crypto.sha256(utf8(monitoringText(settings)))) as Digest)
      // after the wait: an alarm that was reported meanwhile, and is not among these, would be cleared
      return { alarms: standing(), monitoring }
    },
  }
}

const plain = ({ alarmId, entity, severity, text, sinceMs }: Told): StandingAlarm => ({ alarmId, entity, severity, text, sinceMs })
