import { Command, CommanderError } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { CliError } from './cli-error.ts'
import { addAlarmCommands } from './commands/alarm.ts'
import { addBackupCommands } from './commands/backup.ts'
import { addCompletionCommand } from './commands/completion.ts'
import { addEventsCommand } from './commands/events.ts'
import { addHelpTopics } from './commands/help-topics.ts'
import { addInfraCommands } from './commands/infra.ts'
import { addKeyCommands } from './commands/key.ts'
import { addMonitoringCommands } from './commands/monitoring.ts'
import { addReleaseCommands } from './commands/release.ts'
import { addRolloutCommands } from './commands/rollout.ts'
import { addSiteCommands } from './commands/site.ts'
import { addSummaryCommand } from './commands/summary.ts'
import { addTokenCommands } from './commands/token.ts'
import { addUsageCommand } from './commands/usage.ts'
import { addWebhookCommands } from './commands/webhook.ts'
import { exitCodes, type ExitName } from './exit-codes.ts'
import type { Io } from './io.ts'
import { plain } from './output/words.ts'
import { createAct, globalOptions } from './session.ts'

const nouns = [addSiteCommands, addReleaseCommands, addRolloutCommands, addSummaryCommand, addAlarmCommands, addWebhookCommands, addUsageCommand, addMonitoringCommands, addEventsCommand, addTokenCommands, addKeyCommands, addBackupCommands, addInfraCommands, addCompletionCommand, addHelpTopics]

/** Runs one command line (without the program's name) and returns its exit status. Never throws for what a user can cause. */
export async function runMurmur(args: readonly string[], io: Io): Promise<number> {
  let exit: ExitName = 'ok'
  const program = createProgram(io, (name) => void (exit = name))
  try {
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) exit = error.exitCode === 0 ? 'ok' : 'usage'
    else exit = report(io, error)
  }
  return exitCodes[exit].code
}

function createProgram(io: Io, endWith: (exit: ExitName) => void): Command {
  const program = new Command('murmur')
  program.description('Publish releases and take the sites of a fleet to them.').configureHelp({ showGlobalOptions: true }).version(packageJson.version, '--version', 'which version this is').showSuggestionAfterError().exitOverride()
  program.configureOutput({ writeOut: io.out, writeErr: io.err, getOutHelpWidth: () => io.terminal()?.columns ?? 100, getErrHelpWidth: () => 100 })
  for (const option of globalOptions()) program.addOption(option)
  const act = createAct(io, endWith)
  for (const addCommands of nouns) addCommands(program, act)
  return program
}

function report(io: Io, error: unknown): ExitName {
  const known = error instanceof CliError
  io.err(`murmur: ${plain(error instanceof Error ? error.message : String(error))}\n`)
  for (const line of known ? error.details : []) io.err(`  ${plain(line)}\n`)
  if (!known && io.env['MURMUR_DEBUG'] !== undefined && error instanceof Error) io.err(`${error.stack}\n`)
  return known ? error.exit : 'failure'
}
