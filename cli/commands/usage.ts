import { Option } from 'commander'
import { usageContracts } from '../../protocol/http/usage.ts'
import { CliError } from '../cli-error.ts'
import { listAll } from '../client.ts'
import { printList, printText } from '../output/print.ts'
import { span, wholeNumber } from '../read-options.ts'
import { checkSelector } from '../select-sites.ts'
import type { AddCommands, GlobalOptions, Session } from '../session.ts'
import { inkOf, penOf } from '../usage/chart.ts'
import { capacityShape, fleetUsageText, siteUsageText } from '../usage/usage-text.ts'
import { watchSite } from '../usage/watch-site.ts'

const dayMs = 86_400_000
const fullestShown = 10

type Options = { last: number; step?: number; node?: string; by?: string; selector?: string; order: 'used' | 'days-left'; limit: number; watch?: true; for?: number; ascii?: true }

export const addUsageCommand: AddCommands = (program, act) => {
  program.command('usage [site]').description('what the resources of the fleet, or of one site and its nodes, are doing')
    .addOption(new Option('--last <span>', 'how far back').argParser(span).default(dayMs, '24h')).option('--step <span>', 'the length of a step', span).option('--node <node>', 'only this node of the site')
    .option('--by <label>', 'the fleet by the values of a label').option('-l, --selector <selector>', 'sites by their labels')
    .addOption(new Option('--order <order>', 'of the fullest sites').choices(['used', 'days-left']).default('used')).option('--limit <count>', 'so many of the fullest sites', wholeNumber, fullestShown)
    .option('--watch', 'the site as it is right now, until you stop it; a sample a line in JSON with -o json').option('--for <span>', 'stop watching by itself', span).option('--ascii', 'draw without Unicode')
    .addHelpText('after', `
    murmur usage                             the fleet, and its fullest sites
    murmur usage --by region --last 7d
    murmur usage --order days-left --limit 50
    murmur usage harbour --last 2h
    murmur usage harbour --watch`)
    .action(act<Options>(async (session, [site], options) => {
      if (options.watch === true && site === undefined) throw new CliError('usage', 'name the site to watch')
      if (options.watch === true) return watchLive(session, site!, options)
      await (site === undefined ? showFleet(session, options) : showSite(session, site, options))
    }))
}

const rangeOf = ({ io }: Session, { last, step }: Options) => {
  const toMs = io.nowMs()
  return { from: new Date(toMs - last).toISOString(), to: new Date(toMs).toISOString(), ...(step === undefined ? {} : { step: `${step}ms` }) }
}

async function showSite(session: Session, site: string, options: Options): Promise<void> {
  const { io, format, client } = session
  const usage = await (await client()).call(usageContracts.getSiteUsage, { params: { site }, query: { ...rangeOf(session, options), ...(options.node === undefined ? {} : { node: options.node }) } })
  printText({ io, format }, usage, siteUsageText(usage, options.node ?? null, penOf(io, options.ascii)))
}

async function showFleet(session: Session, options: Options): Promise<void> {
  const { io, format, client } = session
  const { by, selector, order, limit } = options
  checkSelector(selector)
  const api = await client()
  const pen = penOf(io, options.ascii)
  const query = { ...rangeOf(session, options), ...(by === undefined ? {} : { groupBy: by }), ...(selector === undefined ? {} : { labelSelector: selector }) }
  const usage = await api.call(usageContracts.getFleetUsage, { query })
  const capacity = await listAll((page) => api.call(usageContracts.listCapacity, { query: { ...page, order } }), limit)
  if (format === 'json' || format === 'yaml') return printText({ io, format }, { usage, capacity }, '')
  if (format !== 'name') io.out(`${fleetUsageText(usage, by ?? null, pen)}\n${order === 'used' ? 'fullest sites' : 'first to be full'}:\n`)
  printList({ io, format }, capacityShape(io.nowMs(), pen.ink), capacity)
}

async function watchLive({ io, format, client }: Session, site: string, options: Options & GlobalOptions): Promise<void> {
  await watchSite(await client(), io, site, { format, ink: inkOf(io, options.ascii), endMs: options.for === undefined ? Number.POSITIVE_INFINITY : io.nowMs() + options.for })
}
