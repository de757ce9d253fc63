import type { Command } from 'commander'
import { monitoringContracts, type MonitoringRule, type SiteMonitoring } from '../../protocol/http/monitoring.ts'
import { MonitoringSettings, monitoringDefaults } from '../../protocol/monitoring.ts'
import { CliError } from '../cli-error.ts'
import { listAll, type Client } from '../client.ts'
import { parseYaml, readText } from '../files/read-yaml.ts'
import { factsText } from '../output/facts.ts'
import { printList, printOne, printText, writeYaml, type Shape } from '../output/print.ts'
import { integer } from '../read-options.ts'
import { checkSelector } from '../select-sites.ts'
import { confirm, type Act, type AddCommands, type Session } from '../session.ts'

/** The parts that are set, without the levels in them. */
const partsText = (settings: MonitoringSettings): string => Object.keys(settings).join(', ') || 'nothing'

const ruleShape: Shape<MonitoringRule> = {
  nameOf: (rule) => rule.name,
  none: 'no rules: every site watches by the defaults and its own settings',
  columns: [
    { title: 'RULE', value: (rule) => rule.name },
    { title: 'PRIORITY', value: (rule) => String(rule.priority), align: 'right' },
    { title: 'SITES', value: (rule) => rule.labelSelector },
    { title: 'SETS', value: (rule) => partsText(rule.settings) },
  ],
  text: (rule) => `${factsText([['rule', rule.name], ['sites', rule.labelSelector], ['priority', String(rule.priority)]])}${indented('settings', rule.settings)}`,
}

const indented = (title: string, settings: MonitoringSettings): string => `${title}:\n${writeYaml(settings).replaceAll(/^(?=.)/gm, '  ')}`

function siteText({ site, rules, own, effective, faults, held }: SiteMonitoring): string {
  const followed = effective === null ? 'no: rules and its own settings cannot be followed together, so it goes on as before' : held === null ? 'its agent cannot, or has not said so yet' : held ? 'yes' : 'not yet'
  const facts = factsText([['site', site], ['followed', followed], ...faults.map(({ path, message }) => ['fault', `${path}: ${message}`] as const), ['rules', rules.join(', then over it ') || 'none fits'], ['its own', partsText(own)]])
  return effective === null ? facts : `${facts}${indented('over the defaults', effective)}`
}

export const addMonitoringCommands: AddCommands = (program, act) => {
  const monitoring = program.command('monitoring').description('what sites watch: levels, checks and how often')
  addRuleCommands(monitoring, act)

  monitoring.command('site <site>').description("what a site watches; with -f its own settings, over all rules, which take effect without a restart").option('-f, --file <file>', 'its own settings as YAML, in place of those before; - is the standard input').option('--reset', 'without settings of its own')
    .action(act<{ file?: string; reset?: true }>(async (session, [site], { file, reset }) => {
      const { io, format } = session
      if (file !== undefined && reset === true) throw new CliError('usage', 'give either -f or --reset')
      const own = reset === true ? {} : file === undefined ? null : parseYaml(await readText(io, file), file).check(MonitoringSettings)
      const api = await session.client()
      const params = { site: site! }
      const view = own === null ? await api.call(monitoringContracts.getSiteMonitoring, { params }) : await api.call(monitoringContracts.putSiteMonitoring, { params, body: own })
      printText({ io, format }, view, siteText(view))
    }))

  monitoring.command('defaults').description('what a site watches of which nobody says anything, as YAML to begin with')
    .action(act(async ({ io, format }) => printText({ io, format }, monitoringDefaults, writeYaml(monitoringDefaults))))

  monitoring.addHelpText('after', `
A rule as a file, for \`murmur monitoring set shops -f shops.yaml\`; what is not said stays as it is by default:

    labelSelector: kind=shop
    priority: 10                # over rules with a lower one
    settings:
      filesystem: { major: 80, critical: 92, ignore: [/srv/scratch] }
      cpu: { major: null }      # null: that level is never reached
      checks:
        - { type: http, name: till, url: 'http://10.0.0.5:8080/healthz', severity: critical }`)
}

function addRuleCommands(monitoring: Command, act: Act): void {
  monitoring.command('list').alias('ls').description('list the rules by name')
    .action(act(async ({ io, format, client }) => printList({ io, format }, ruleShape, await readRules(await client()))))

  monitoring.command('show <rule>').description('show a rule')
    .action(act(async (session, [name]) => printOne(session, ruleShape, await findRule(session, name!))))

  monitoring.command('set <rule>').description('make a rule, or put another in its place').requiredOption('-f, --file <file>', 'the rule as YAML: labelSelector, priority, settings; - is the standard input')
    .option('-l, --selector <selector>', 'sites by their labels, over what the file says; * for all').option('--priority <number>', 'over what the file says', integer)
    .action(act<{ file: string; selector?: string; priority?: number }>(async ({ io, format, client }, [rule], { file, selector, priority }) => {
      checkSelector(selector)
      const document = parseYaml(await readText(io, file), file)
      const said = typeof document.value === 'object' && document.value !== null ? document.value : {}
      const body = document.check(monitoringContracts.putMonitoringRule.body!, { ...said, ...(selector === undefined ? {} : { labelSelector: selector }), ...(priority === undefined ? {} : { priority }) })
      printOne({ io, format }, ruleShape, await (await client()).call(monitoringContracts.putMonitoringRule, { params: { rule: rule! }, body }))
    }))

  monitoring.command('remove <rule>').description('remove a rule; the sites it fitted go on without it').option('-y, --yes', 'do not ask')
    .action(act<{ yes?: boolean }>(async (session, [name], { yes }) => {
      const { labelSelector } = await findRule(session, name!)
      await confirm(session.io, `Remove ${name!}? Sites ${labelSelector} go on without it.`, yes)
      await (await session.client()).call(monitoringContracts.removeMonitoringRule, { params: { rule: name! } })
      session.io.err(`${name!} was removed\n`)
    }))
}

const readRules = (api: Client): Promise<MonitoringRule[]> => listAll((page) => api.call(monitoringContracts.listMonitoringRules, { query: page }))

async function findRule({ client }: Session, name: string): Promise<MonitoringRule> {
  const rule = (await readRules(await client())).find((each) => each.name === name)
  if (rule === undefined) throw new CliError('not-found', `there is no rule ${name}`)
  return rule
}
