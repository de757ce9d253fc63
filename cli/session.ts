import { Option, type Command } from 'commander'
import { createClient, type Client } from './client.ts'
import { CliError } from './cli-error.ts'
import type { ExitName } from './exit-codes.ts'
import { findController, type ControllerAccess } from './find-controller.ts'
import type { Io } from './io.ts'
import { outputFormats, type OutputFormat } from './output/print.ts'

/** What a command works with. The controller is looked for only when a command asks for it. */
export type Session = {
  io: Io
  format: OutputFormat
  access(): Promise<ControllerAccess>
  client(): Promise<Client>
  /** Ends the command with this exit code once it is through. */
  endWith(exit: ExitName): void
}

export type GlobalOptions = { url?: string; token?: string; output: OutputFormat }

/** Makes the action of a command: it gets the session, the arguments and the options, with the global ones among them. */
export type Act = <O extends object = object>(work: (session: Session, args: string[], options: O & GlobalOptions) => Promise<void>) => (...all: unknown[]) => Promise<void>
/** One file of `commands/`: adds the commands of its noun. */
export type AddCommands = (program: Command, act: Act) => void

export const globalOptions = (): Option[] => [
  new Option('--url <url>', 'the controller (else MURMUR_URL, else .murmur/cli.json)'),
  new Option('--token <token>', 'bearer token (else MURMUR_TOKEN, else .murmur/cli.json)'),
  new Option('-o, --output <format>', 'how results are shown').choices([...outputFormats]).default('table'),
]

export function createAct(io: Io, endWith: (exit: ExitName) => void): Act {
  return (work) => async (...all) => {
    const command = all.at(-1) as Command
    const options = command.optsWithGlobals<GlobalOptions>()
    const access = (): Promise<ControllerAccess> => findController(io, options)
    const client = async (): Promise<Client> => {
      const { url, token } = await access()
      return createClient({ url, token, fetch: io.fetch, sleep: io.sleep, nowMs: io.nowMs })
    }
    await work({ io, format: options.output, access, client, endWith }, command.args, options as never)
  }
}

/** Asks a person whether to go on; `--yes` answers for a pipeline. Throws CliError `usage` when the answer is no, or nobody can give one. */
export async function confirm(io: Io, question: string, yes: boolean | undefined): Promise<void> {
  if (yes === true) return
  const answer = await io.ask(`${question} [y/N] `)
  if (answer === null) throw new CliError('usage', `${question} Nobody is here to answer: say --yes`)
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('usage', 'not confirmed; nothing was changed')
}
