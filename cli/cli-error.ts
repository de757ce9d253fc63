import type { ExitName } from './exit-codes.ts'

/** Ends the command with a message for its user, one fault a line in `details`, and the exit code of `exit`. */
export class CliError extends Error {
  readonly exit: ExitName
  readonly details: readonly string[]

  constructor(exit: ExitName, message: string, more: { details?: readonly string[]; cause?: unknown } = {}) {
    super(message, { cause: more.cause })
    this.name = 'CliError'
    this.exit = exit
    this.details = more.details ?? []
  }
}
