import { Option, type Command } from 'commander'
import { alarmContracts, type AlarmView } from '../../protocol/http/alarms.ts'
import { severities, type Severity } from '../../protocol/states.ts'
import { alarmCountsText, alarmEventShape, alarmShape, describeAlarm } from '../alarm/alarm-shape.ts'
import { listAll, type Client } from '../client.ts'
import { printList, printOne } from '../output/print.ts'
import { instant, span, wholeNumber } from '../read-options.ts'
import { checkSelector } from '../select-sites.ts'
import type { Act, AddCommands, Session } from '../session.ts'

type Identity = { site: string; alarmId: string; entity: string }
const identityOf = ([site, alarmId, entity]: readonly string[]): Identity => ({ site: site!, alarmId: alarmId!, entity: entity! })

export const addAlarmCommands: AddCommands = (program, act) => {
  const alarm = program.command('alarm').description('faults that stand until they clear')
  addLooking(alarm, act)
  addHandling(alarm, act)
  alarm.addHelpText('after', `
An alarm is named by its site (_fleet for the fleet as a whole), its id and its entity, as \`murmur alarm list\` shows them:
    murmur alarm list --severity critical -l region=north
    murmur alarm show  harbour 100.003 node=node-1.filesystem=/var
    murmur alarm ack   harbour 100.003 node=node-1.filesystem=/var --note 'Jo is on it'
    murmur alarm shelve harbour 110.001 node=node-1.interface=eth2 --for 7d --reason 'the new switch comes on Friday'
    murmur alarm history --site harbour --since 24h`)
}

type ListOptions = { site?: string; alarm?: string; severity?: Severity; gating?: boolean; selector?: string; all?: true; limit?: number }
type HistoryOptions = { site?: string; alarm?: string; entity?: string; since?: number; from?: string; to?: string; limit?: number }

function addLooking(alarm: Command, act: Act): void {
  alarm.command('list').alias('ls').description('list standing alarms that ask for attention, newest first')
    .option('--site <site>', 'of one site, or of _fleet').option('--alarm <id>', 'of one id, such as 100.003').addOption(new Option('--severity <severity>', 'only these').choices([...severities]))
    .option('--gating', 'that keep rollouts from going on').option('--no-gating', 'that do not').option('-l, --selector <selector>', 'of sites by their labels').option('--all', 'also those that are acknowledged, shelved, silenced, or hidden by their offline site').option('--limit <count>', 'at most so many', wholeNumber)
    .action(act<ListOptions>(async ({ io, format, client }, _, { site, alarm: alarmId, severity, gating, selector, all, limit }) => {
      checkSelector(selector)
      const api = await client()
      const flag = (value: boolean): 'true' | 'false' => (value ? 'true' : 'false')
      const query = {
        ...(site === undefined ? {} : { site }), ...(alarmId === undefined ? {} : { alarmId }), ...(severity === undefined ? {} : { severity }), ...(gating === undefined ? {} : { gating: flag(gating) }),
        ...(selector === undefined ? {} : { labelSelector: selector }), ...(all === undefined ? {} : { all: flag(all) }),
      }
      const alarms = await listAll((page) => api.call(alarmContracts.listAlarms, { query: { ...query, ...page } }), limit)
      printList({ io, format }, all === true ? alarmShape(io.nowMs()) : { ...alarmShape(io.nowMs()), none: 'no alarms that ask for attention; --all shows the others too' }, alarms)
      if (alarms.length > 0 && (format === 'table' || format === 'wide')) io.err(`${alarmCountsText(alarms)}\n`)
    }))

  alarm.command('show <site> <alarm> <entity>').description('one alarm, with what it means and what to do about it')
    .action(act(async (session, args) => showAlarm(session, await (await session.client()).call(alarmContracts.getAlarm, { query: identityOf(args) }))))

  alarm.command('history').description('what happened to alarms, newest first')
    .option('--site <site>', 'of one site, or of _fleet').option('--alarm <id>', 'of one id').option('--entity <entity>', 'of one entity').option('--since <span>', 'such as 24h or 7d', span)
    .option('--from <time>', 'not before', instant).option('--to <time>', 'not after', instant).option('--limit <count>', 'at most so many (50)', wholeNumber)
    .action(act<HistoryOptions>(async ({ io, format, client }, _, { site, alarm: alarmId, entity, since, from, to, limit }) => {
      const api = await client()
      const start = since === undefined ? from : new Date(io.nowMs() - since).toISOString()
      const query = { ...(site === undefined ? {} : { site }), ...(alarmId === undefined ? {} : { alarmId }), ...(entity === undefined ? {} : { entity }), ...(start === undefined ? {} : { from: start }), ...(to === undefined ? {} : { to }) }
      printList({ io, format }, alarmEventShape, await listAll((page) => api.call(alarmContracts.listAlarmEvents, { query: { ...query, ...page } }), limit ?? 50))
    }))
}

function addHandling(alarm: Command, act: Act): void {
  /** A command about one alarm that answers with how it stands then. */
  const handle = <O extends object = object>(line: string, description: string, work: (api: Client, identity: Identity, options: O) => Promise<AlarmView>): Command =>
    alarm.command(`${line} <site> <alarm> <entity>`).description(description)
      .action(act<O>(async (session, args, options) => showAlarm(session, await work(await session.client(), identityOf(args), options))))

  handle<{ note: string }>('ack', 'somebody has seen it: it keeps no rollout any more, until it is raised anew or gets worse', (api, identity, { note }) => api.call(alarmContracts.acknowledgeAlarm, { body: { ...identity, note } }))
    .option('--note <text>', 'for whoever looks next', '')
  handle<{ for: number; reason: string }>('shelve', 'put it aside for a while: it is neither announced nor listed, and keeps no rollout', (api, identity, options) => api.call(alarmContracts.shelveAlarm, { body: { ...identity, duration: options.for, reason: options.reason } }))
    .requiredOption('--for <span>', 'such as 4h or 7d', span).requiredOption('--reason <text>', 'why')
  handle('unshelve', 'take it back from the shelf', (api, identity) => api.call(alarmContracts.unshelveAlarm, { body: identity }))

  alarm.command('raise <site> <alarm> <entity> <text>').description('raise an alarm by hand or from another tool; the alarm id is like 100.101')
    .addOption(new Option('--severity <severity>', 'how bad').choices([...severities]).default('major')).option('--gating', 'keeps rollouts from going on while it stands (else: as the catalogue has it)').option('--no-gating', 'does not')
    .action(act<{ severity: Severity; gating?: boolean }>(async ({ io, format, client }, [site, alarmId, entity, text], { severity, gating }) => {
      const raised = await (await client()).call(alarmContracts.raiseAlarm, { body: { site: site!, alarmId: alarmId!, entity: entity!, text: text!, severity, ...(gating === undefined ? {} : { gating }) } })
      printOne({ io, format }, alarmShape(io.nowMs()), raised)
    }))

  alarm.command('clear <site> <alarm> <entity>').description('clear an alarm; a fault that still stands comes back with the next word of its site').option('--reason <text>', 'why, for its history', '')
    .action(act<{ reason: string }>(async ({ io, client }, args, { reason }) => {
      const { cleared } = await (await client()).call(alarmContracts.clearAlarm, { body: { ...identityOf(args), reason } })
      io.err(cleared ? 'cleared\n' : 'it did not stand\n')
    }))
}

const showAlarm = ({ io, format }: Session, alarm: AlarmView): void => printOne({ io, format }, { ...alarmShape(io.nowMs()), text: (one) => describeAlarm(one, io.nowMs()) }, alarm)
