import type { ExitName } from '../../cli/exit-codes.ts'

/** What a person must hear: the sentence, and the exit status that `murmur` gives it. */
export class Refusal extends Error {
  readonly exit: ExitName
  constructor(exit: ExitName, message: string) {
    super(message)
    this.name = 'Refusal'
    this.exit = exit
  }
}
