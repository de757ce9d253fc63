import type { Command, Desired, Grant } from '../../protocol/directives.ts'
import type { Position, ReleaseRef } from '../../protocol/ids.ts'
import type { NodeReport, ReportBody } from '../../protocol/reports.ts'
import { assertNever } from '../../protocol/result.ts'
import { protocolRange } from '../agent-version.ts'
import { collectGarbage } from '../collect-garbage.ts'
import type { AgentConfig } from '../config.ts'
import { commitRelease, type CommandAnswer, type HeldState } from '../held/state.ts'
import { isAttempt, isLive, recordOf, type JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import { rejectedOf } from '../link/inbox.ts'
import { backoffMs } from '../link/backoff.ts'
import { explain, type Log } from '../log.ts'
import { progressOf } from '../report/snapshot.ts'
import type { StatePaths } from '../state-paths.ts'
import { judgeRelease } from '../stage/judge-release.ts'
import { ReleaseRefused, type Releases } from '../stage/releases.ts'
import { stageRelease, type StagingParts } from '../stage/stage-release.ts'
import { faultOf } from '../step-error.ts'
import { createWake } from '../wake.ts'
import { changesOn, nodesNamed, type ApplyParts, type Ends } from './change.ts'
import { decideAbort, type AbortMode, type Step } from './decide.ts'
import { decideWork, type Work } from './decide-work.ts'
import { observeNodes, type End } from './observe-nodes.ts'
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
  /** A command was accepted; also while an attempt runs it is heeded at once. */
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
  let nodes: NodeReport[] = []
  let fenced = false
  let aheadDone: Position | null = null
  let ahead: AbortController | null = null
  let bytes = { bytesDone: journal.current?.bytesDone ?? 0, bytesTotal: journal.current?.bytesTotal ?? 0 }
  let progressSaidMs = Number.NEGATIVE_INFINITY

  const manifestOf = async (release: ReleaseRef | null, signal: AbortSignal) =>
    release === null ? null : releases.load(release.digest).catch(() => releases.obtain(release, signal))

  const endsOf = async (record: JournalRecord, load: (release: ReleaseRef) => ReturnType<Releases['load']>): Promise<Ends> =>
    ({ from: record.from === null ? null : await load(record.from), to: record.to === null ? null : await load(record.to) })
  const ends = (record: JournalRecord): Promise<Ends> => endsOf(record, (release) => releases.load(release.digest))

  /** SPEC §5: the signature, then what the site's own facts allow. */
  async function acceptRelease(release: ReleaseRef, back: boolean, signal: AbortSignal) {
    const manifest = await releases.obtain(release, signal)
    const { running, history } = held.current!
    const judged = judgeRelease(manifest, { release, back }, { running, history, architecture: host.facts.architecture(), protocolMax: protocolRange.max })
    if (!judged.ok) throw new ReleaseRefused(judged.refusal.reason, judged.refusal.detail)
    return manifest
  }

  async function stage(record: JournalRecord, signal: AbortSignal): Promise<Ends> {
    const to = await acceptRelease(record.to!, record.back, signal)
    const from = await manifestOf(record.from, signal)
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      bytes = { bytesDone: Math.min(done, total), bytesTotal: total }
      if (host.clock.monotonicMs() - progressSaidMs < progressEveryMs) return
      progressSaidMs = host.clock.monotonicMs()
      void reportAttempt()
    }
    // The way back first: an attempt that could not be undone is not begun.
    if (record.from !== null && from !== null) await stageRelease(parts, record.from, from, signal, () => undefined)
    await stageRelease(parts, record.to!, to, signal, onProgress)
    return { from, to }
  }

  async function reportAttempt(): Promise<void> {
    const record = journal.current
    if (record === null) return
    await parts.report(progressOf(held.current!, record.phase === 'ended' ? record : { ...record, ...bytes }, nodes))
  }

  async function reversible(record: JournalRecord): Promise<boolean> {
    const touched = record.phase === 'applying' ? record.batches.slice(0, record.batch + 1) : record.phase === 'verifying' ? record.batches : []
    if (touched.length === 0) return true
    const both = await ends(record)
    return nodesNamed(parts.nodes, touched.flat()).every((node) =>
      changesOn(parts, node, both, parts.life).every(({ planned, driver }) =>
        isUnchanged(planned) || driver.reversible((planned.to ?? planned.from)!) !== 'no'))
  }

  function abortOf(record: JournalRecord): AbortMode | null {
    const command = held.current!.command
    if (command === null || command.answer !== null || command.directive.body.type !== 'abort') return null
    return isAttempt(command.directive.body, record) ? command.directive.body.mode : null
  }

  async function answer(command: Command, { result, detail }: CommandAnswer): Promise<void> {
    await parts.report({ kind: 'answer', command: command.id, result, detail })
    await held.update((state) => (state.command?.directive.id === command.id ? { ...state, command: { directive: command, answer: { result, detail } } } : state))
  }

  const runner = createRunner({
    host, log, journal, abortOf, reversible,
    grantGood: parts.grantGood,
    perform: (record, step, signal) => perform({ ...parts, stage, ends, commit }, record, step, signal),
    answerAbort: (said) => answer(held.current!.command!.directive, { result: said.result, detail: said.detail }),
    bytes: () => bytes,
    async moved(record) {
      if (record.phase === 'ended') await lookAtNodes()
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

  async function lookAtNodes(): Promise<void> {
    const record = journal.current
    const { running } = held.current!
    const endOf = async (release: ReleaseRef | null | undefined): Promise<End> => {
      const manifest = release == null ? null : await releases.load(release.digest).catch(() => null)
      return manifest === null ? null : { release: release!, manifest }
    }
    const to = await endOf(record?.to)
    nodes = await observeNodes(parts, to === null ? { from: null, to: await endOf(running) } : { from: await endOf(record?.from), to }, running, parts.life)
  }

  /** Hands may have brought a site that needed them to one of the two releases: then that is how the attempt ended. */
  async function lookForHands(): Promise<void> {
    const record = journal.current
    if (record?.outcome !== 'needs-hands') return
    const allOn = (release: ReleaseRef | null): boolean => nodes.every((node) => !node.mixed && node.release?.digest === release?.digest)
    const outcome = allOn(record.from) ? 'rolled-back' : record.to !== null && allOn(record.to) ? 'succeeded' : null
    if (outcome === null) return
    if (outcome === 'succeeded') await commit(record)
    await journal.write({ ...record, outcome })
    log('info', 'hands-have-helped', { deployment: record.deployment, attempt: record.attempt, outcome })
    await reportAttempt()
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

  async function carryOut(command: Command): Promise<void> {
    switch (command.body.type) {
      case 'hello':
        if (!isLive(journal.current)) await worker.lookAround()
        await parts.sayHello()
        return answer(command, { result: 'done', detail: '' })
      case 'abort': {
        const record = isAttempt(journal.current, command.body) ? journal.current : null
        return answer(command, decideAbort(record, command.body.mode, true))
      }
      default:
        return assertNever(command.body)
    }
  }

  async function stageAhead(desired: Desired, release: ReleaseRef, signal: AbortSignal): Promise<void> {
    ahead = new AbortController()
    const either = AbortSignal.any([signal, ahead.signal])
    try {
      await host.clock.sleep(host.random.fraction() * parts.config.jitterMs, either)
      const manifest = await acceptRelease(release, desired.back, either)
      await stageRelease(parts, release, manifest, either, () => undefined)
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
      case 'answer': await carryOut(work.command); return true
      case 'stage-ahead': await stageAhead(work.desired, work.release, signal); return true
      case 'idle': return false
      default: return assertNever(work)
    }
  }

  const worker: Worker = {
    ring: wake.ring,
    interruptAhead: () => ahead?.abort(new Error('something newer came')),
    async commandCame(command) {
      if (command.body.type === 'abort') await runner.press()
      else if (isLive(journal.current)) await carryOut(command)
    },
    fence: () => {
      fenced = true
    },
    get nodes() {
      return nodes
    },
    async lookAround() {
      await lookAtNodes()
      await lookForHands()
    },
    reportAttempt,
    async run(signal) {
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
    },
  }
  return worker
}
