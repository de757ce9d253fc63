import type { Fault } from '../../protocol/reports.ts'
import type { AbortCommand } from '../held/state.ts'
import type { Host } from '../host/host.ts'
import type { JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import { backoffMs } from '../link/backoff.ts'
import { explain, type Log } from '../log.ts'
import { faultOf } from '../step-error.ts'
import { afterFailure, afterStep, decideAbort, decideStep, type AbortAnswer, type Step } from './decide.ts'

const pauseMs = { base: 1000, max: 60_000 }
/** Time taken is written at least so often, so that a sudden end loses little of it. */
const saveEveryMs = 60_000

export type RunParts = {
  host: Host
  log: Log
  journal: Store<JournalRecord>
  perform(record: JournalRecord, step: Step, signal: AbortSignal): Promise<void>
  grantGood(record: JournalRecord): Promise<boolean>
  /** An abort of this attempt that was accepted and is not answered yet. */
  abortOf(record: JournalRecord): AbortCommand | null
  answerAbort(abort: AbortCommand, answer: AbortAnswer): Promise<void>
  /** Whether what was applied so far can be undone. */
  reversible(record: JournalRecord): Promise<boolean>
  /** Bytes fetched so far, for the record. */
  bytes(): { bytesDone: number; bytesTotal: number }
  /** The record has moved. */
  moved(record: JournalRecord): Promise<void>
  failed(record: JournalRecord, step: Step, fault: Fault, error: unknown): Promise<void>
}

export interface Runner {
  /** Takes the attempt in the journal to its end. Throws the signal's reason when it has to stop before. */
  run(signal: AbortSignal): Promise<void>
  /** An abort came: cuts the present step short if the attempt is to go back. */
  press(): Promise<void>
}

const isCuttable = (step: Step): boolean => step.kind === 'stage' || step.kind === 'apply' || step.kind === 'verify'

export function createRunner(parts: RunParts): Runner {
  const { host, journal, log } = parts
  let cut: AbortController | null = null
  let countedMs = 0

  const elapsedMs = (record: JournalRecord): number => record.elapsedMs + (record.phase === 'accepted' ? 0 : host.clock.monotonicMs() - countedMs)

  /** Writes the record with the time taken so far; false where the disk refuses, after the pause that follows so many tries. */
  async function trySave(next: JournalRecord, before: JournalRecord, tries: number, signal: AbortSignal): Promise<boolean> {
    const nowMs = host.clock.monotonicMs()
    const record = { ...next, ...parts.bytes(), elapsedMs: next.phase === 'ended' ? next.elapsedMs : elapsedMs(before), wallMs: Math.max(0, Math.round(host.clock.nowMs())) }
    try {
      await journal.write(record)
      countedMs = nowMs
      return true
    } catch (error) {
      signal.throwIfAborted()
      log('error', 'journal-not-written', { error: explain(error) })
      await host.clock.sleep(backoffMs(tries, pauseMs, host.random), signal)
      return false
    }
  }

  /** A disk that refuses is asked again: nothing is done that is not written. */
  async function save(next: JournalRecord, before: JournalRecord, signal: AbortSignal): Promise<void> {
    for (let tries = 1; !(await trySave(next, before, tries, signal)); tries++);
  }

  async function moved({ deployment, attempt, phase, batch, outcome }: JournalRecord, why: string): Promise<void> {
    log('info', 'attempt', { deployment, attempt, phase, batch, outcome, why })
    await parts.moved(journal.current!)
  }

  /** What a step came to stays so, however long the disk refuses it. */
  async function move(next: JournalRecord, signal: AbortSignal, why: string): Promise<void> {
    await save(next, journal.current!, signal)
    await moved(next, why)
  }

  /** Ends the step when time is up; ends itself when the step does. */
  async function watch(step: Step, deadline: AbortController, done: AbortSignal): Promise<void> {
    while (!done.aborted) {
      const record = journal.current!
      const leftMs = isCuttable(step) ? record.grant.maxDurationMs - elapsedMs(record) : Number.POSITIVE_INFINITY
      if (leftMs <= 0) return deadline.abort(new Error('the deadline passed'))
      await host.clock.sleep(Math.min(leftMs, saveEveryMs), done)
      await save(record, record, done)
    }
  }

  async function take(record: JournalRecord, step: Step, signal: AbortSignal): Promise<void> {
    const mine = new AbortController()
    const done = new AbortController()
    cut = isCuttable(step) ? mine : null
    const watching = watch(step, mine, done.signal).catch(() => undefined)
    let failure: { error: unknown } | null = null
    try {
      await parts.perform(record, step, AbortSignal.any([signal, mine.signal]))
    } catch (error) {
      failure = { error }
    }
    cut = null
    done.abort(new Error('the step is over'))
    await watching
    signal.throwIfAborted()
    if (failure === null) return move(afterStep(record, step), signal, `${step.kind} is done`)
    // Cut short: the next decision knows why.
    if (mine.signal.aborted) return
    const fault = faultOf(failure.error)
    log('warn', 'step-failed', { step: step.kind, ...fault })
    await parts.failed(record, step, fault, failure.error)
    await move(afterFailure(record, step, fault), signal, `${step.kind} failed: ${fault.code}`)
  }

  return {
    async run(signal) {
      countedMs = host.clock.monotonicMs()
      for (let commitTries = 0, refusals = 0; ; ) {
        signal.throwIfAborted()
        const record = journal.current!
        const abort = parts.abortOf(record)
        const reversible = abort === null || (await parts.reversible(record))
        const decision = decideStep(record, { grantGood: record.phase !== 'accepted' || (await parts.grantGood(record)), elapsedMs: elapsedMs(record), abort: abort?.body.mode ?? null, reversible })
        if (decision.kind === 'move') {
          // a decision is of its moment: where the disk refuses it, it is made anew (a grant may have ended meanwhile)
          if (!(await trySave(decision.record, record, (refusals += 1), signal))) continue
          refusals = 0
          await moved(decision.record, decision.why)
        }
        if (abort !== null) await parts.answerAbort(abort, decideAbort(record, abort.body.mode, reversible))
        if (decision.kind === 'done') return
        if (decision.kind === 'move') continue
        if (decision.step.kind === 'commit' && commitTries > 0) await host.clock.sleep(backoffMs(commitTries, pauseMs, host.random), signal)
        if (decision.step.kind === 'commit') commitTries += 1
        await take(record, decision.step, signal)
      }
    },
    async press() {
      const record = journal.current
      const abort = record === null ? null : parts.abortOf(record)
      if (record === null || abort === null || cut === null) return
      if (decideAbort(record, abort.body.mode, await parts.reversible(record)).goesBack) cut?.abort(new Error('aborted'))
    },
  }
}
