import { exitCodes } from '../../cli/exit-codes.ts'
import { EnvironmentError } from '../../functions/platform/parse-environment.ts'
import { Refusal } from './refusal.ts'

/** Ends the process with what went wrong, in words, and the exit status that `murmur` has for it. */
export function endWith(command: string, error: unknown): never {
  const text = error instanceof Error ? error.message : String(error)
  const stack = process.env['MURMUR_DEBUG'] !== undefined && error instanceof Error ? `${error.stack}\n` : ''
  process.stderr.write(`murmur ${command}: ${text}\n${stack}`)
  process.exit(exitCodes[error instanceof Refusal ? error.exit : isUsage(error) ? 'usage' : 'failure'].code)
}

const isUsage = (error: unknown): boolean => error instanceof EnvironmentError || (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
