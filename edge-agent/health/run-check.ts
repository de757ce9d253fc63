import { createHash } from 'node:crypto'
import type { HealthCheck } from '../../protocol/manifest.ts'
import { limits } from '../../protocol/limits.ts'
import type { Fault } from '../../protocol/reports.ts'
import { assertNever } from '../../protocol/result.ts'
import type { StagedTree } from '../driver/contract.ts'
import { resolveInRoot } from '../driver/resolve-in-root.ts'
import { programPath } from '../driver/run-program.ts'
import type { Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'
import { commandOutputBytesMax, endingOf, readBytesMax, tryHttp, tryTcp, within, type Finding } from './try-once.ts'

/** What is checked: a component, in effect on a node, with the tree that its `command` checks are part of. */
export type Checked = { node: Node; component: string; tree: StagedTree }
type CheckOf<Type extends HealthCheck['type']> = Extract<HealthCheck, { type: Type }>
async function tryCommand(host: Host, { node, component, tree }: Checked, check: CheckOf<'command'>, signal: AbortSignal): Promise<Finding> {
  const result = await host.processes.run({
    command: `${tree.path}/${check.path}`,
    args: check.args,
    directory: tree.path,
    environment: { PATH: programPath, LC_ALL: 'C', MURMUR_NODE: node.name, MURMUR_NODE_ROOT: node.root, MURMUR_COMPONENT: component },
    timeoutMs: check.timeout,
    outputBytesMax: commandOutputBytesMax,
    signal,
  })
  return endingOf(result, check.timeout)
}

async function tryFile({ files }: Host, { node }: Checked, check: CheckOf<'file'>): Promise<Finding> {
  const path = await resolveInRoot(files, node, check.path, true)
  const facts = await files.facts(path)
  if (facts?.kind !== 'file') return facts === null ? 'there is no such file' : 'it is not a file'
  if (check.sha256 === undefined && check.contains === undefined) return null
  if (check.sha256 !== undefined && facts.size > readBytesMax) return `it is longer than the ${readBytesMax} bytes a check reads`
  const bytes = await files.readRange(path, 0, readBytesMax)
  if (check.sha256 !== undefined && createHash('sha256').update(bytes).digest('hex') !== check.sha256) return 'its digest is another'
  if (check.contains !== undefined && !Buffer.from(bytes).includes(check.contains)) return 'it does not contain the text asked for'
  return null
}

function tryOnce(host: Host, checked: Checked, check: HealthCheck, signal: AbortSignal): Promise<Finding> {
  switch (check.type) {
    case 'http': return tryHttp(host, check, signal)
    case 'tcp': return tryTcp(host, check)
    case 'command': return tryCommand(host, checked, check, signal)
    case 'file': return tryFile(host, checked, check)
    default: return assertNever(check)
  }
}

/**
 * Tries one check on one node until it passes once, at most `1 + retries` times, `interval` apart, each attempt cut
 * off at `timeout`. Returns null when it passed, else a fault with what the last attempt found. Throws the signal's
 * reason when that is aborted.
 */
export async function runCheck(host: Host, checked: Checked, check: HealthCheck, signal: AbortSignal): Promise<Fault | null> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    // A command is cut off by the host, which knows what it printed until then; the margin lets it say so.
    const spanMs = check.type === 'command' ? check.timeout + 1000 : check.timeout
    const finding = await within(host.clock, spanMs, signal, (both) => tryOnce(host, checked, check, both))
    if (finding === null) return null
    if (attempt === check.retries) {
      const detail = `${check.name}: ${finding} (${attempt + 1} ${attempt === 0 ? 'attempt' : 'attempts'})`.slice(0, limits.reasonLengthMax).toWellFormed()
      return { code: 'health-check-failed', detail, node: checked.node.name, component: checked.component, check: check.name }
    }
    await host.clock.sleep(check.interval, signal)
  }
}
