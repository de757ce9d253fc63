import type { Fault } from '../../protocol/reports.ts'
import { assert, assertNever } from '../../protocol/result.ts'
import { DriverError } from '../driver/contract.ts'
import { runChecks } from '../health/run-checks.ts'
import type { JournalRecord } from '../journal/record.ts'
import { explain, type Log } from '../log.ts'
import type { Node } from '../node/node.ts'
import { faultOf, StepError } from '../step-error.ts'
import { changesOn, nodesNamed, type ApplyParts, type Ends, type NodeChange } from './change.ts'
import type { Step } from './decide.ts'
import { isUnchanged } from './plan-changes.ts'

export type PerformParts = ApplyParts & {
  log: Log
  /** Brings and verifies what the attempt needs of both releases, and says what they are. */
  stage(record: JournalRecord, signal: AbortSignal): Promise<Ends>
  /** Both ends of an attempt that was staged. */
  ends(record: JournalRecord): Promise<Ends>
  /** Makes the new release this site's own: history, running, previous. Doing it again changes nothing. */
  commit(record: JournalRecord): Promise<void>
}

/** Takes one step of an attempt. Throws what StepError or a driver throws; taken again, it carries on. */
export async function perform(parts: PerformParts, record: JournalRecord, step: Step, signal: AbortSignal): Promise<void> {
  switch (step.kind) {
    case 'stage': {
      const ends = await parts.stage(record, signal)
      return onNodes(allNodes(parts, record), (node) => eachChange(changesOn(parts, node, ends, signal), (each) => each.driver.stage(parts.host, each.change)))
    }
    case 'apply': {
      const ends = await parts.ends(record)
      return onNodes(batchNodes(parts, record, step.batch), (node) => applyNode(parts, node, ends, signal))
    }
    case 'verify': {
      const ends = await parts.ends(record)
      return onNodes(allNodes(parts, record), (node) => verifyNode(parts, node, ends, signal))
    }
    case 'commit': {
      const ends = await parts.ends(record)
      await parts.commit(record)
      await onNodes(allNodes(parts, record), (node) => eachChange(changesOn(parts, node, ends, signal), (each) => each.driver.commit(parts.host, each.change)))
      return cleanUp(parts, record, ends, signal)
    }
    case 'roll-back': {
      const ends = await parts.ends(record)
      return onNodes(batchNodes(parts, record, step.batch), (node) => restoreNode(parts, node, ends, signal))
    }
    case 'clean': {
      // Without the manifests no driver was called either.
      const ends = await parts.ends(record).catch(() => null)
      return ends === null ? undefined : cleanUp(parts, record, ends, signal)
    }
    default:
      return assertNever(step)
  }
}

const allNodes = (parts: PerformParts, record: JournalRecord): Node[] => nodesNamed(parts.nodes, record.batches.flat())

function batchNodes(parts: PerformParts, record: JournalRecord, batch: number): Node[] {
  const names = record.batches[batch]
  assert(names !== undefined, `there is no batch ${batch}`)
  const nodes = nodesNamed(parts.nodes, names)
  if (nodes.length !== names.length) throw new StepError({ code: 'node-unknown', detail: `agent.json no longer has one of ${names.join(', ')}` })
  return nodes
}

/** The nodes of a batch at the same time; all have come to rest before the first failure is thrown. */
async function onNodes(nodes: readonly Node[], work: (node: Node) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(nodes.map(work))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

async function eachChange(changes: readonly NodeChange[], work: (each: NodeChange) => Promise<void>): Promise<void> {
  for (const each of changes) {
    each.change.signal.throwIfAborted()
    try {
      await work(each)
    } catch (error) {
      each.change.signal.throwIfAborted()
      throw new StepError(faultOf(error, { node: each.change.node.name, component: each.change.component }), { cause: error })
    }
  }
}

async function checkHealth(parts: PerformParts, node: Node, changes: readonly NodeChange[], signal: AbortSignal): Promise<void> {
  const fault: Fault | null = await runChecks(parts.host, node, changes.flatMap(({ change }) => (change.to === null ? [] : [change.to])), signal)
  if (fault !== null) throw new StepError(fault)
}

async function applyNode(parts: PerformParts, node: Node, ends: Ends, signal: AbortSignal): Promise<void> {
  const changes = changesOn(parts, node, ends, signal)
  await eachChange(changes, async ({ planned, change, driver }) => {
    const observed = isUnchanged(planned) ? await driver.observe(parts.host, change) : null
    if (observed?.state === 'present' && observed.digest === change.to?.tree.digest) return
    await driver.apply(parts.host, change)
  })
  await checkHealth(parts, node, changes, signal)
}

async function verifyNode(parts: PerformParts, node: Node, ends: Ends, signal: AbortSignal): Promise<void> {
  const changes = changesOn(parts, node, ends, signal)
  await eachChange(changes, (each) => each.driver.verify(parts.host, each.change))
  await checkHealth(parts, node, changes, signal)
}

/** Back to the old release, the last change first; one that fails does not keep the others from it. */
async function restoreNode(parts: PerformParts, node: Node, ends: Ends, signal: AbortSignal): Promise<void> {
  const changes = changesOn(parts, node, ends, signal).reverse()
  let failure: unknown = null
  for (const each of changes) {
    await eachChange([each], ({ driver, change }) => driver.rollback(parts.host, change)).catch((error: unknown) => {
      failure ??= error
    })
  }
  if (failure !== null) throw failure
  await eachChange(changes, async ({ driver, change }) => {
    const observed = await driver.observe(parts.host, change)
    const restored = change.from === null ? observed.state === 'absent' : observed.state === 'present' && observed.digest === change.from.tree.digest
    if (!restored) throw new DriverError('not-restored', `expected ${change.from?.tree.digest ?? 'nothing'}, found ${JSON.stringify(observed)}`)
  })
}

/** Leftovers harm nothing: what cannot be removed now is the next attempt's to remove. */
async function cleanUp(parts: PerformParts, record: JournalRecord, ends: Ends, signal: AbortSignal): Promise<void> {
  for (const node of allNodes(parts, record)) {
    await eachChange(changesOn(parts, node, ends, signal), (each) => each.driver.cleanup(parts.host, each.change)).catch((error: unknown) => {
      signal.throwIfAborted()
      parts.log('warn', 'cleanup-failed', { node: node.name, error: explain(error) })
    })
  }
}
