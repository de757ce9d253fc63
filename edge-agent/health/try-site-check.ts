import type { SiteCheck } from '../../protocol/monitoring.ts'
import { limits } from '../../protocol/limits.ts'
import { assertNever } from '../../protocol/result.ts'
import type { CheckCommand } from '../config.ts'
import { programPath } from '../driver/run-program.ts'
import type { Host } from '../host/host.ts'
import { commandOutputBytesMax, endingOf, tryHttp, tryTcp, within, type Finding } from './try-once.ts'

/** What `agent.json` allows to be run, by its name. */
export type CheckCommands = Readonly<Record<string, CheckCommand>>

/** A program of the site's own list, without a shell and with nothing of the agent's environment. */
async function tryCommand(host: Host, commands: CheckCommands, check: Extract<SiteCheck, { type: 'command' }>, timeoutMs: number, signal: AbortSignal): Promise<Finding> {
  const command = Object.hasOwn(commands, check.command) ? commands[check.command] : undefined
  if (command === undefined) return `this site allows no command "${check.command}"`
  const spanMs = Math.min(timeoutMs, command.timeoutMs ?? timeoutMs)
  const result = await host.processes.run({
    command: command.path, args: command.args, environment: { PATH: programPath, LC_ALL: 'C', MURMUR_CHECK: check.name }, timeoutMs: spanMs, outputBytesMax: commandOutputBytesMax, signal,
  })
  return endingOf(result, spanMs)
}

function tryIt(host: Host, commands: CheckCommands, check: SiteCheck, timeout: number, signal: AbortSignal): Promise<Finding> {
  switch (check.type) {
    case 'http': return tryHttp(host, { ...check, timeout }, signal)
    case 'tcp': return tryTcp(host, { ...check, timeout })
    case 'command': return tryCommand(host, commands, check, timeout, signal)
    default: return assertNever(check)
  }
}

/**
 * Tries a check that the site's monitoring declares, once, cut off after its `timeoutS`. Null when it passed, else what was wrong, in
 * 500 characters at most. Throws the signal's reason when that is aborted.
 */
export async function trySiteCheck(host: Host, commands: CheckCommands, check: SiteCheck, signal: AbortSignal): Promise<Finding> {
  const timeoutMs = check.timeoutS * 1000
  // A command is cut off by the host, which knows what it printed until then; the margin lets it say so.
  const finding = await within(host.clock, check.type === 'command' ? timeoutMs + 1000 : timeoutMs, signal, (both) => tryIt(host, commands, check, timeoutMs, both))
  return finding === null ? null : finding.slice(0, limits.reasonLengthMax).toWellFormed()
}
