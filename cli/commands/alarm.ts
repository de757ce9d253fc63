import { Option } from 'commander'
import { alarmContracts, type AlarmView } from '../../protocol/http/alarms.ts'
import { severities, type Severity } from '../../protocol/states.ts'
import { listAll } from '../client.ts'
import { printList, printOne, type Shape } from '../output/print.ts'
import { agoText } from '../output/words.ts'
import type { AddCommands } from '../session.ts'

const alarmShape = (nowMs: number): Shape<AlarmView> => ({
  nameOf: (alarm) => `${alarm.site}/${alarm.alarmId}/${alarm.entity}`,
  none: 'no alarms',
  columns: [
    { title: 'SITE', value: (alarm) => alarm.site },
    { title: 'ALARM', value: (alarm) => alarm.alarmId },
    { title: 'ENTITY', value: (alarm) => alarm.entity },
    { title: 'SEVERITY', value: (alarm) => alarm.severity },
    { title: 'GATING', value: (alarm) => (alarm.gating ? 'yes' : 'no') },
    { title: 'FOR', value: (alarm) => agoText(alarm.raisedAt, nowMs) },
    { title: 'TEXT', value: (alarm) => alarm.text },
  ],
})

export const addAlarmCommands: AddCommands = (program, act) => {
  const alarm = program.command('alarm').description('faults that stand until they clear')

  alarm.command('list').alias('ls').description('list standing alarms').option('--site <site>', 'of one site')
    .action(act<{ site?: string }>(async ({ io, format, client }, _, { site }) => {
      const api = await client()
      printList({ io, format }, alarmShape(io.nowMs()), await listAll((page) => api.call(alarmContracts.listAlarms, { query: { ...page, ...(site === undefined ? {} : { site }) } })))
    }))

  alarm.command('raise <site> <alarm> <entity> <text>').description('raise an alarm by hand or from another tool; the alarm id is like 100.101')
    .addOption(new Option('--severity <severity>', 'how bad').choices([...severities]).default('major')).option('--gating', 'keeps the next wave shut while it stands', false)
    .action(act<{ severity: Severity; gating: boolean }>(async ({ io, format, client }, [site, alarmId, entity, text], { severity, gating }) => {
      const raised = await (await client()).call(alarmContracts.raiseAlarm, { body: { site: site!, alarmId: alarmId!, entity: entity!, text: text!, severity, gating } })
      printOne({ io, format }, alarmShape(io.nowMs()), raised)
    }))

  alarm.command('clear <site> <alarm> <entity>').description('clear an alarm')
    .action(act(async ({ io, client }, [site, alarmId, entity]) => {
      const { cleared } = await (await client()).call(alarmContracts.clearAlarm, { body: { site: site!, alarmId: alarmId!, entity: entity! } })
      io.err(cleared ? 'cleared\n' : 'it did not stand\n')
    }))
}
