import { describeExitCodes } from '../exit-codes.ts'
import type { AddCommands } from '../session.ts'

/** Help that is about no single command: `murmur help exit-codes`. */
export const addHelpTopics: AddCommands = (program, act) => {
  program.helpCommand(false)
  program.command('help [topic...]').description('help for a command, or on exit-codes')
    .action(act(async ({ io }, topic) => {
      if (topic[0] === 'exit-codes') return io.out(describeExitCodes())
      let command = program
      for (const name of topic) {
        const next = command.commands.find((other) => other.name() === name || other.aliases().includes(name))
        if (next === undefined) return command.error(`error: there is no help on ${topic.join(' ')}`)
        command = next
      }
      command.outputHelp()
    }))
  program.addHelpText('after', '\nExit codes: murmur help exit-codes')
}
