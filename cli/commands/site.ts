import { Option, type Command } from 'commander'
import { monitoringContracts, type NodeLock } from '../../protocol/http/monitoring.ts'
import { siteContracts, type ClaimView, type Explanation, type SiteView } from '../../protocol/http/sites.ts'
import { presences, type Presence } from '../../protocol/states.ts'
import { listAll } from '../client.ts'
import { CliError } from '../cli-error.ts'
import { parseYaml, readText } from '../files/read-yaml.ts'
import { factsText } from '../output/facts.ts'
import { printList, printOne, printText, type Shape } from '../output/print.ts'
import { agoText, plain, timeText } from '../output/words.ts'
import { keyValue, wholeNumber } from '../read-options.ts'
import { checkSelector, collect } from '../select-sites.ts'
import { confirm, type Act, type AddCommands } from '../session.ts'

const labelsText = (labels: Record<string, string>): string => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(',')

const siteShape = (nowMs: number): Shape<SiteView> => ({
  nameOf: (site) => site.id,
  none: 'no sites',
  columns: [
    { title: 'SITE', value: (site) => site.id },
    { title: 'STATE', value: (site) => site.state },
    { title: 'PRESENCE', value: (site) => site.presence },
    { title: 'RUNNING', value: (site) => site.running?.id ?? '-' },
    { title: 'DESIRED', value: (site) => site.desired?.id ?? '-' },
    { title: 'NODES', value: (site) => String(site.nodes.length), align: 'right' },
    { title: 'LABELS', value: (site) => labelsText(site.labels) },
    { title: 'LAST SEEN', value: (site) => agoText(site.lastSeenAt, nowMs), wide: true },
    { title: 'TIME ZONE', value: (site) => site.timeZone, wide: true },
    { title: 'AGENT', value: (site) => `${site.agentVersion ?? '-'}${site.agentProtocol === null || site.agentProtocol.standing === 'ok' ? '' : ` (${site.agentProtocol.standing})`}`, wide: true },
    { title: 'PREVIOUS', value: (site) => site.previous?.id ?? '-', wide: true },
  ],
  text: describeSite,
})

function protocolText(protocol: SiteView['agentProtocol']): string {
  if (protocol === null) return 'protocol not known yet'
  const range = protocol.min === protocol.max ? String(protocol.max) : `${protocol.min} to ${protocol.max}`
  return `protocol ${range}${protocol.standing === 'ok' ? '' : ` (${protocol.standing.replace('-', ' ')} for this controller: it is told nothing)`}`
}

function describeSite(site: SiteView): string {
  return factsText([
    ['site', site.id], ['state', `${site.state}, ${site.presence}`], ['running', site.running?.id ?? '-'], ['previous', site.previous?.id ?? '-'], ['desired', site.desired?.id ?? '-'],
    ['labels', labelsText(site.labels) || '-'], ['time zone', site.timeZone], ['windows', site.windows.map((w) => w.cron).join('; ') || 'at any time'],
    ['agent', `${site.agentVersion ?? '-'} on ${site.architecture ?? '-'}, enrolment ${site.incarnation}, ${protocolText(site.agentProtocol)}`], ['last seen', timeText(site.lastSeenAt)],
    ...(site.attempt === null ? [] : [['attempt', `${site.attempt.deployment} attempt ${site.attempt.attempt}: ${site.attempt.phase}`] as [string, string]]),
    ...site.nodes.map((node): [string, string] => [`node ${node.name}`, `${node.personality}, ${node.operational}, ${node.mixed ? 'between two releases' : (node.release?.id ?? 'no release')}`]),
    ...site.locks.map((lock): [string, string] => [`lock ${lock.node}`, `since ${timeText(lock.at)} by ${lock.by}: ${lock.reason}`]),
  ])
}

const claimText = ({ site, enrolLine, expiresAt }: ClaimView): string => `Run this at ${site}, once, before ${timeText(expiresAt)} (it is not shown again):\n\n  ${enrolLine}\n\n`

function explanationText({ site, summary, rollouts }: Explanation): string {
  const lines = [`${site}: ${summary}`]
  for (const { name, target, state, wave, blockers } of rollouts) {
    lines.push('', `${name} → ${target}: ${state}${wave === null ? '' : ` in wave ${wave}`}`)
    blockers.forEach((blocker, i) => lines.push(`  ${i + 1}. ${blocker.text}${blocker.endsAt === null ? '' : `; until ${timeText(blocker.endsAt)}`}${blocker.endsBy === null ? '' : `; ended by ${blocker.endsBy}`}`))
  }
  return `${plain(lines.join('\n'))}\n`
}

const lockShape = (nowMs: number): Shape<NodeLock> => ({
  nameOf: (lock) => lock.node,
  none: 'no node is locked',
  columns: [
    { title: 'NODE', value: (lock) => lock.node },
    { title: 'FOR', value: (lock) => agoText(lock.at, nowMs) },
    { title: 'BY', value: (lock) => lock.by },
    { title: 'REASON', value: (lock) => lock.reason },
  ],
})

type Settings = { label?: Record<string, string>; unlabel?: string[]; timeZone?: string; file?: string }

export const addSiteCommands: AddCommands = (program, act) => {
  const site = program.command('site').description('the edge clusters of the fleet')

  site.command('add <site>').description('add a site, and show the one line to run there')
    .option('--label <key=value>', 'a label; may be repeated', keyValue).option('--time-zone <zone>', 'IANA time zone of its windows').option('-f, --file <file>', 'settings as YAML: labels, timeZone, windows, freezes')
    .action(act<Settings>(async ({ io, format, client }, [id], { label, timeZone, file }) => {
      const settings = file === undefined ? {} : await settingsOf(io, file)
      const added = await (await client()).call(siteContracts.createSite, { body: { ...settings, id: id!, ...(label === undefined ? {} : { labels: { ...settings.labels, ...label } }), ...(timeZone === undefined ? {} : { timeZone }) } })
      if (format === 'name') io.out(`${added.site.id}\n`)
      else printText({ io, format }, added, claimText(added.claim))
    }))

  site.command('list').alias('ls').description('list sites')
    .option('-l, --selector <selector>', 'by labels, as for rollout create').addOption(new Option('--presence <presence>', 'only those').choices([...presences])).option('--release <release>', 'that run this release').option('--limit <count>', 'at most so many', wholeNumber)
    .action(act<{ selector?: string; presence?: Presence; release?: string; limit?: number }>(async ({ io, format, client }, _, { selector, presence, release, limit }) => {
      checkSelector(selector)
      const api = await client()
      const query = { ...(selector === undefined ? {} : { labelSelector: selector }), ...(presence === undefined ? {} : { presence }), ...(release === undefined ? {} : { release }) }
      printList({ io, format }, siteShape(io.nowMs()), await listAll((page) => api.call(siteContracts.listSites, { query: { ...query, ...page } }), limit))
    }))

  site.command('show <site>').description('show a site')
    .action(act(async ({ io, format, client }, [id]) => printOne({ io, format }, siteShape(io.nowMs()), await (await client()).call(siteContracts.getSite, { params: { site: id! } }))))

  site.command('explain <site>').description('why is this site not updating?')
    .action(act(async ({ io, format, client }, [id]) => {
      const explanation = await (await client()).call(siteContracts.explainSite, { params: { site: id! } })
      printText({ io, format }, explanation, explanationText(explanation))
    }))

  site.command('update <site>').description("change a site's labels, time zone, windows or freezes")
    .option('--label <key=value>', 'set a label; may be repeated', keyValue).option('--unlabel <key>', 'take a label away; may be repeated', collect).option('--time-zone <zone>', 'IANA time zone of its windows').option('-f, --file <file>', 'settings as YAML; those it names are replaced')
    .action(act<Settings>(async ({ io, format, client }, [id], { label, unlabel, timeZone, file }) => {
      if (label === undefined && unlabel === undefined && timeZone === undefined && file === undefined) throw new CliError('usage', 'say what to change: --label, --unlabel, --time-zone or -f')
      const api = await client()
      const before = await api.call(siteContracts.getSite, { params: { site: id! } })
      const settings = file === undefined ? {} : await settingsOf(io, file)
      const labels = { ...(settings.labels ?? before.labels), ...label }
      for (const key of unlabel ?? []) delete labels[key]
      // what was read decides what is written, so the version that was read must still be there
      const after = await api.call(siteContracts.updateSite, { params: { site: id! }, body: { ...settings, labels, ...(timeZone === undefined ? {} : { timeZone }) }, ifMatch: before.version })
      printOne({ io, format }, siteShape(io.nowMs()), after)
    }))

  site.command('claim <site>').description('a new one-time line, for a lost one or a site that is replaced')
    .action(act(async ({ io, format, client }, [id]) => {
      const claim = await (await client()).call(siteContracts.claimSite, { params: { site: id! } })
      printText({ io, format }, claim, claimText(claim))
    }))

  site.command('remove <site>').description('remove a site; its agent loses access').option('-y, --yes', 'do not ask')
    .action(act<{ yes?: boolean }>(async ({ io, client }, [id], { yes }) => {
      const api = await client()
      const { version } = await api.call(siteContracts.getSite, { params: { site: id! } })
      await confirm(io, `Remove ${id!}? Its agent loses access.`, yes)
      await api.call(siteContracts.removeSite, { params: { site: id! }, ifMatch: version })
      io.err(`${id!} was removed\n`)
    }))

  addLockCommands(site, act)
}

function addLockCommands(site: Command, act: Act): void {
  site.command('lock <site> <node>').description('somebody works at a node: alarms that this brings about are not announced, and no deployment starts at the site')
    .requiredOption('--reason <text>', 'why, for whoever looks')
    .action(act<{ reason: string }>(async ({ io, format, client }, [id, node], { reason }) => {
      const { locks } = await (await client()).call(monitoringContracts.lockNode, { params: { site: id!, node: node! }, body: { reason } })
      printList({ io, format }, lockShape(io.nowMs()), locks)
    }))

  site.command('unlock <site> <node>').description('the work is done')
    .action(act(async ({ io, format, client }, [id, node]) => {
      const { locks } = await (await client()).call(monitoringContracts.unlockNode, { params: { site: id!, node: node! } })
      printList({ io, format }, lockShape(io.nowMs()), locks)
    }))
}

async function settingsOf(io: Parameters<typeof readText>[0], file: string) {
  return parseYaml(await readText(io, file), file).check(siteContracts.updateSite.body!)
}
