import type { Command, Desired, Grant } from '../../protocol/directives.ts'
import type { Position, ReleaseRef } from '../../protocol/ids.ts'
import type { NodeReport, ReportBody } from '../../protocol/reports.ts'
import { assertNever } from '../../protocol/result.ts'
import { collectGarbage } from '../collect-garbage.ts'
import type { AgentConfig } from '../config.ts'
import { commitRelease, type AbortCommand, type CommandAnswer, type HeldState } from '../held/state.ts'
import { isAttempt, isLive, recordOf, type JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import { rejectedOf } from '../link/inbox.ts'
import { backoffMs } from '../link/backoff.ts'
import { explain, type Log } from '../log.ts'
import { progressOf } from '../report/snapshot.ts'
import type { StatePaths } from '../state-paths.ts'
import { ReleaseRefused, type Releases } from '../stage/releases.ts'
import type { StagingParts } from '../stage/stage-release.ts'
import { faultOf } from '../step-error.ts'
import { createWake } from '../wake.ts'
import { createBringer } from './bring-release.ts'
import { changesOn, nodesNamed, type ApplyParts } from './change.ts'
import { decideAbort, type Step } from './decide.ts'
import { decideWork, type Work } from './decide-work.ts'
import { createLookout } from './look-around.ts'
import { perform } from './perform.ts'
import { planBatches } from './plan-batches.ts'
import { isUnchanged } from './plan-changes.ts'
import { createRunner } from './run.ts'

export type WorkParts = StagingParts & ApplyParts & {
  log: Log
  config: AgentConfig
  paths: StatePaths
  releases: Releases
  held: Store<HeldState>
  journal: Store<JournalRecord>
  grantGood(record: JournalRecord): Promise<boolean>
  report(body: ReportBody): Promise<unknown>
  sayHello(): Promise<void>
  /** Aborted when the agent stops. */
  life: AbortSignal
}

/** Does what is held, one thing at a time: attempts, answers, staging ahead. */
export interface Worker {
  run(signal: AbortSignal): Promise<void>
  /** What is held has changed. */
  ring(): void
  /** A desired or a grant came: staging ahead makes room. */
  interruptAhead(): void
  /** A command was accepted: it is heeded at once, also while an attempt runs. */
  commandCame(command: Command): Promise<void>
  fence(): void
  /** What runs on each node, as last looked at. */
  readonly nodes: NodeReport[]
  /** Looks at every node, and whether hands have ended an attempt that needed them. */
  lookAround(): Promise<void>
  reportAttempt(): Promise<void>
}

/** During long downloads progress is said at most so often. */
const progressEveryMs = 3000

export function createWorker(parts: WorkParts): Worker {
  const { host, log, held, journal, releases } = parts
  const wake = createWake()
  let fenced = false
  let aheadDone: Position | null = null
  let ahead: AbortController | null = null
  let bytes = { bytesDone: journal.current?.bytesDone ?? 0, bytesTotal: journal.current?.bytesTotal ?? 0 }
  let progressSaidMs = Number.NEGATIVE_INFINITY

  const bringer = createBringer(parts)
  const lookout = createLookout({ ...parts, commit, reportAttempt })

  function sayProgress({ done, total }: { done: number; total: number }): void {
    bytes = { bytesDone: Math.min(done, total), bytesTotal: total }
    if (host.clock.monotonicMs() - progressSaidMs < progressEveryMs) return
    progressSaidMs = host.clock.monotonicMs()
    void reportAttempt()
  }

  async function reportAttempt(): Promise<void> {
    const record = journal.current
    if (record === null) return
    await parts.report(progressOf(held.current!, record.phase === 'ended' ? record : { ...record, ...bytes }, lookout.nodes))
  }

  async function reversible(record: JournalRecord): Promise<boolean> {
    const touched = record.phase === 'applying' ? record.batches.slice(0, record.batch + 1) : record.phase === 'verifying' ? record.batches : []
    if (touched.length === 0) return true
    const both = await bringer.ends(record)
    return nodesNamed(parts.nodes, touched.flat()).every((node) =>
      changesOn(parts, node, both, parts.life).every(({ planned, driver }) =>
        isUnchanged(planned) || driver.reversible((planned.to ?? planned.from)!) !== 'no'))
  }

  function abortOf(record: JournalRecord): AbortCommand | null {
    const { abort } = held.current!
    return abort !== null && abort.answer === null && isAttempt(abort.command.body, record) ? abort.command : null
  }

  async function answerAbort(command: AbortCommand, { result, detail }: CommandAnswer): Promise<void> {
    await parts.report({ kind: 'answer', command: command.id, result, detail })
    await held.update((state) => (state.abort?.command.id === command.id ? { ...state, abort: { command, answer: { result, detail } } } : state))
  }

  const runner = createRunner({
    host, log, journal, abortOf, answerAbort, reversible,
    grantGood: parts.grantGood,
    perform: (record, step, signal) => perform({ ...parts, stage: (of, until) => bringer.stage(of, until, sayProgress), ends: bringer.ends, commit }, record, step, signal),
    bytes: () => bytes,
    async moved(record) {
      if (record.phase === 'ended') await lookout.look()
      await reportAttempt()
    },
    async failed(record, _step: Step, _fault, error) {
      const { desired } = held.current!
      if (error instanceof ReleaseRefused && desired?.deployment === record.deployment) await parts.report(rejectedOf(desired, { reason: 'release-refused', detail: error.message }, held.current!))
    },
  })

  async function commit(record: JournalRecord): Promise<void> {
    await held.update((state) => commitRelease(state, record.from, record.to!))
  }

  async function begin(grant: Grant, release: ReleaseRef, back: boolean): Promise<void> {
    bytes = { bytesDone: 0, bytesTotal: 0 }
    const batches = planBatches(parts.nodes, parts.config.nodesAtOnceMax)
    await journal.write(recordOf(grant, { from: held.current!.running, to: release, back, batches, wallMs: Math.max(0, Math.round(host.clock.nowMs())) }))
  }

  async function endUnbegun(work: Extract<Work, { kind: 'end-unbegun' }>): Promise<void> {
    const record = recordOf(work.grant, { from: held.current!.running, to: null, back: false, batches: [], wallMs: Math.max(0, Math.round(host.clock.nowMs())) })
    await journal.write({ ...record, phase: 'ended', outcome: work.outcome, ending: work.outcome === 'aborted' ? 'aborted' : null, fault: { code: work.outcome, detail: work.why } })
    await reportAttempt()
  }

  async function runAttempt(signal: AbortSignal): Promise<void> {
    await runner.run(signal)
    if (journal.current?.outcome !== 'succeeded') return
    const removed = await collectGarbage({ files: host.files, paths: parts.paths, releases, content: parts.content }, held.current!, journal.current)
    log('info', 'garbage-collected', { removed })
  }

  async function answerHello(command: Command): Promise<void> {
    if (!isLive(journal.current)) await worker.lookAround()
    await parts.sayHello()
    await parts.report({ kind: 'answer', command: command.id, result: 'done', detail: '' })
  }

  async function stageAhead(desired: Desired, release: ReleaseRef, signal: AbortSignal): Promise<void> {
    ahead = new AbortController()
    const either = AbortSignal.any([signal, ahead.signal])
    try {
      await host.clock.sleep(host.random.fraction() * parts.config.jitterMs, either)
      await bringer.bring(release, desired.back, either)
      aheadDone = desired.position
      await held.update((state) => ({ ...state, staged: release.digest }))
      await parts.report({ kind: 'staged', release, fault: null })
    } catch (error) {
      signal.throwIfAborted()
      if (ahead.signal.aborted) return
      // Until another desired or the grant comes: bytes ahead are a comfort, not a duty.
      aheadDone = desired.position
      if (error instanceof ReleaseRefused) await parts.report(rejectedOf(desired, { reason: 'release-refused', detail: error.message }, held.current!))
      await parts.report({ kind: 'staged', release, fault: faultOf(error) })
    } finally {
      ahead = null
    }
  }

  /** Does the next thing; false when there is none. */
  async function workOnce(signal: AbortSignal): Promise<boolean> {
    const work = decideWork(held.current!, journal.current, { aheadDone, fenced })
    switch (work.kind) {
      case 'run': await runAttempt(signal); return true
      case 'begin': await begin(work.grant, work.release, work.back); return true
      case 'end-unbegun': await endUnbegun(work); return true
      case 'answer-abort': await answerAbort(work.command, decideAbort(isAttempt(journal.current, work.command.body) ? journal.current : null, work.command.body.mode, true)); return true
      case 'stage-ahead': await stageAhead(work.desired, work.release, signal); return true
      case 'idle': return false
      default: return assertNever(work)
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        if (!(await workOnce(signal))) await wake.wait(signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        log('error', 'work-failed', { error: explain(error) })
        await host.clock.sleep(backoffMs(failures, { base: 1000, max: 60_000 }, host.random), signal).catch(() => undefined)
      }
    }
  }

  const worker: Worker = {
    ring: wake.ring,
    interruptAhead: () => ahead?.abort(new Error('something newer came')),
    async commandCame(command) {
      if (command.body.type === 'abort') await runner.press()
      else await answerHello(command)
    },
    fence: () => {
      fenced = true
    },
    get nodes() {
      return lookout.nodes
    },
    async lookAround() {
      await lookout.look()
      await lookout.lookForHands()
    },
    reportAttempt,
    run,
  }
  return worker
}
