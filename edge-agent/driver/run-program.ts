import type { Host, ProcessRequest, ProcessResult } from '../host/host.ts'
import { DriverError } from './contract.ts'

/** Where programs that a driver starts are looked for. */
export const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const detailCharactersMax = 400

/** The end of a program's output, where what went wrong usually stands. */
export function outputTail(output: string): string {
  const text = output.replaceAll(/[^\P{C}\n]/gu, ' ').trim()
  return text.length <= detailCharactersMax ? text : `…${text.slice(1 - detailCharactersMax)}`
}

/**
 * Runs a program to its end. Throws DriverError with a code of its own for each way to fail, made from `kind`: `-failed`,
 * `-timed-out`, `-cancelled`, `-not-started`. `title` says in the error which program it was.
 */
export async function runProgram(host: Host, kind: string, title: string, request: ProcessRequest): Promise<ProcessResult> {
  const result = await host.processes.run(request)
  const because = result.output.trim() === '' ? '' : `: ${outputTail(result.output)}`
  if (result.how === 'not-started') throw new DriverError(`${kind}-not-started`, `${title} could not be started${because}`)
  if (result.how === 'timed-out') throw new DriverError(`${kind}-timed-out`, `${title} did not end within ${request.timeoutMs} ms${because}`)
  if (result.how === 'cancelled') throw new DriverError(`${kind}-cancelled`, `${title} was cancelled${because}`)
  if (result.exitCode === null) throw new DriverError(`${kind}-failed`, `${title} was ended by a signal${because}`)
  if (result.exitCode !== 0) throw new DriverError(`${kind}-failed`, `${title} ended with status ${result.exitCode}${because}`)
  return result
}
