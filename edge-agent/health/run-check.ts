import { createHash } from 'node:crypto'
import type { HealthCheck } from '../../protocol/manifest.ts'
import { limits } from '../../protocol/limits.ts'
import type { Fault } from '../../protocol/reports.ts'
import { assertNever } from '../../protocol/result.ts'
import type { StagedTree } from '../driver/contract.ts'
import { resolveInRoot } from '../driver/resolve-in-root.ts'
import { outputTail, programPath } from '../driver/run-program.ts'
import type { Clock, Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'

/** What is checked: a component, in effect on a node, with the tree that its `command` checks are part of. */
export type Checked = { node: Node; component: string; tree: StagedTree }
type CheckOf<Type extends HealthCheck['type']> = Extract<HealthCheck, { type: Type }>
/** Null when it passed, else what was wrong. */
type Finding = string | null

const readBytesMax = 1024 * 1024
const commandOutputBytesMax = 4096

/** Up to `bytesMax` bytes of a body; leaving the loop ends the transfer. */
async function readUpTo(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body) {
    pieces.push(piece)
    length += piece.length
    if (length >= bytesMax) break
  }
  return Buffer.concat(pieces).subarray(0, bytesMax)
}

async function tryHttp(host: Host, check: CheckOf<'http'>, signal: AbortSignal): Promise<Finding> {
  const response = await host.network.http({ method: 'GET', url: check.url, headers: {}, timeoutMs: check.timeout, signal })
  const body = await readUpTo(response.body, check.bodyContains === undefined ? 1 : readBytesMax)
  if (!check.status.includes(response.status)) return `answered with status ${response.status}`
  if (check.bodyContains !== undefined && !Buffer.from(body).includes(check.bodyContains)) return 'the answer does not contain the text asked for'
  return null
}

async function tryTcp(host: Host, check: CheckOf<'tcp'>): Promise<Finding> {
  return (await host.network.tcpConnects(check.host, check.port, check.timeout)) ? null : `no connection to ${check.host}:${check.port}`
}

async function tryCommand(host: Host, { node, component, tree }: Checked, check: CheckOf<'command'>, signal: AbortSignal): Promise<Finding> {
  const { how, exitCode, output } = await host.processes.run({
    command: `${tree.path}/${check.path}`,
    args: check.args,
    directory: tree.path,
    environment: { PATH: programPath, LC_ALL: 'C', MURMUR_NODE: node.name, MURMUR_NODE_ROOT: node.root, MURMUR_COMPONENT: component },
    timeoutMs: check.timeout,
    outputBytesMax: commandOutputBytesMax,
    signal,
  })
  if (how === 'ended' && exitCode === 0) return null
  const ending = how === 'ended' ? (exitCode === null ? 'was ended by a signal' : `ended with status ${exitCode}`) : how === 'timed-out' ? `did not end within ${check.timeout} ms` : `was ${how}`
  return `${ending} ${outputTail(output)}`.trim()
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

/** The result of `work`, or a finding once `spanMs` have passed; either way what is still running is told to stop. */
async function within(clock: Clock, spanMs: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<Finding>): Promise<Finding> {
  const attempt = new AbortController()
  const both = AbortSignal.any([signal, attempt.signal])
  const timeUp = clock.sleep(spanMs, both).then(() => `no result within ${spanMs} ms`)
  const done = work(both)
  try {
    return await Promise.race([done, timeUp])
  } catch (error) {
    signal.throwIfAborted()
    return error instanceof Error ? error.message : String(error)
  } finally {
    timeUp.catch(() => undefined)
    done.catch(() => undefined)
    attempt.abort(new Error('the attempt is over'))
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
