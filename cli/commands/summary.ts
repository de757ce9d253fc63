import { alarmContracts } from '../../protocol/http/alarms.ts'
import { summaryText } from '../alarm/alarm-shape.ts'
import { printText } from '../output/print.ts'
import type { AddCommands } from '../session.ts'

export const addSummaryCommand: AddCommands = (program, act) => {
  program.command('summary').description('the fleet in a few numbers: sites by presence, alarms by severity')
    .action(act(async ({ io, format, client }) => {
      const summary = await (await client()).call(alarmContracts.getSummary, {})
      printText({ io, format }, summary, summaryText(summary))
    }))
}
