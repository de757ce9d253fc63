import { limits } from '../../protocol/limits.ts'
import type { Host } from '../host/host.ts'
import type { JournalRecord } from '../journal/record.ts'
import { recover } from '../journal/recover.ts'
import type { Store } from '../journal/store.ts'
import { backoffMs } from '../link/backoff.ts'
import { clockTrusted } from '../link/judge.ts'
import type { TimeFacts } from '../link/time-facts.ts'
import { explain, type Log } from '../log.ts'
import type { Worker } from './work.ts'

export type StartOverParts = { host: Host; log: Log; journal: Store<JournalRecord>; time: TimeFacts; worker: Worker; life: AbortSignal }

async function recoverAttempt({ host, log, journal, time, worker }: StartOverParts): Promise<void> {
  const record = journal.current
  const nowMs = Math.max(0, Math.round(host.clock.nowMs()))
  const recovery = recover(record, { awayMs: record !== null && clockTrusted(await time.now()) ? nowMs - record.wallMs : 0 }, limits)
  if (recovery.kind === 'nothing') return
  log('info', 'recovered', { kind: recovery.kind, why: recovery.why, phase: recovery.record.phase, starts: recovery.record.starts })
  await journal.write({ ...recovery.record, wallMs: nowMs })
  await worker.reportAttempt()
}

/**
 * Takes up the attempt of an earlier life, and looks at the nodes. Tried once before it returns; where the disk refuses,
 * the promise it gives goes on trying, so that a full disk does not keep the agent from saying so (F23).
 */
export async function startOver(parts: StartOverParts): Promise<{ done: Promise<void> }> {
  const once = async (): Promise<boolean> => {
    try {
      await recoverAttempt(parts)
      await parts.worker.lookAround()
      return true
    } catch (error) {
      parts.log('error', 'not-recovered', { error: explain(error) })
      return false
    }
  }
  const again = async (): Promise<void> => {
    for (let tries = 1; !parts.life.aborted; tries++) {
      await parts.host.clock.sleep(backoffMs(tries, { base: 1000, max: 60_000 }, parts.host.random), parts.life).catch(() => undefined)
      if (await once()) return
    }
  }
  return { done: (await once()) ? Promise.resolve() : again() }
}
