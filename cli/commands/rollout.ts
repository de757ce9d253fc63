import { Option, type Command } from 'commander'
import { abortModes } from '../../protocol/directives.ts'
import { rolloutContracts, type RolloutView } from '../../protocol/http/rollouts.ts'
import { RolloutPolicy } from '../../protocol/policy.ts'
import { deploymentStates, rolloutStates, type DeploymentState, type RolloutState } from '../../protocol/states.ts'
import { listAll, type Client } from '../client.ts'
import { parseYaml, readText } from '../files/read-yaml.ts'
import { printList, printOne, printText, type OutputFormat } from '../output/print.ts'
import { timeText } from '../output/words.ts'
import { amount, span, wholeNumber } from '../read-options.ts'
import { planText } from '../rollout/plan-text.ts'
import { readRolloutRequest, type RequestOptions } from '../rollout/read-request.ts'
import { deploymentShape, rolloutShape } from '../rollout/rollout-shape.ts'
import { addSelectorOptions, collect, selectorText } from '../select-sites.ts'
import { confirm, type Act, type AddCommands, type Session } from '../session.ts'
import { renderRollout } from '../watch/render.ts'
import { readInFlight, watchRollout } from '../watch/watch-rollout.ts'

type WaitFlags = { wait?: boolean; stay?: boolean; timeout?: number }

const addRequestOptions = (command: Command): Command =>
  addSelectorOptions(command)
    .option('-f, --file <file>', 'a policy as YAML, or a whole rollout with name, target, selector and policy; - is the standard input')
    .option('--name <name>', 'what people call it').option('--max-parallel <amount>', 'sites at once, such as 5 or 10%', amount).option('--canary <amount>', 'size of the canary wave', amount)
    .option('--start-at <time>', 'not before, such as 2026-05-01T22:00:00Z').option('--priority <number>', 'higher goes first where two rollouts want one site')
    .addOption(new Option('--staging <when>', 'whether bytes travel before the start').choices(['ahead', 'with-start'])).addOption(new Option('--joiners <joiners>', 'whether sites that come later take part').choices(['include', 'exclude']))
    .option('--replaces <rollout>', 'a rollout that this one overtakes, or all; may be repeated', collect)

const addWaitOptions = (command: Command): Command =>
  command.option('--stay', 'go on watching while it waits for a person (as on a terminal)').option('--timeout <span>', 'give up watching after so long', span)

const reasonOption = (): Option => new Option('--reason <text>', 'why, for the audit trail').default('')

export const addRolloutCommands: AddCommands = (program, act) => {
  const rollout = program.command('rollout').description('take sites to a release, in waves')
  addCreation(rollout, act)
  addLooking(rollout, act)
  addSteering(rollout, act)
}

function addCreation(rollout: Command, act: Act): void {
  addRequestOptions(rollout.command('plan [release]')).description('what a rollout would do, without doing any of it')
    .action(act<RequestOptions>(async (session, [release], options) => showPlan(session, await session.client(), await readRolloutRequest(session.io, release, options))))

  addWaitOptions(addRequestOptions(rollout.command('create [release]'))).description('take sites to a release')
    .option('--dry-run', 'as rollout plan').option('--wait', 'watch it to its end').option('-y, --yes', 'do not ask')
    .action(act<RequestOptions & WaitFlags & { dryRun?: boolean; yes?: boolean }>(async (session, [release], options) => {
      const { io, client } = session
      const request = await readRolloutRequest(io, release, options)
      const api = await client()
      if (options.dryRun === true) return showPlan(session, api, request)
      // every site at once is asked for in so many words; a smaller selection only where a person is at hand
      if (options.yes !== true && (request.selector.all === true || io.terminal() !== null)) {
        const plan = await api.call(rolloutContracts.planRollout, { body: request })
        io.err(planText(plan))
        await confirm(io, `Take ${plan.members} sites (${selectorText(request.selector)}) to ${plan.target}?`, false)
      }
      await finish(session, api, await api.call(rolloutContracts.createRollout, { body: request }), options)
    }))

  addWaitOptions(rollout.command('rollback <rollout>')).description('a new rollout that returns each touched site to what it ran before')
    .addOption(reasonOption()).option('-f, --file <file>', 'its policy as YAML').option('--wait', 'watch it to its end')
    .action(act<WaitFlags & { reason: string; file?: string }>(async (session, [id], options) => {
      const api = await session.client()
      const policy = options.file === undefined ? undefined : parseYaml(await readText(session.io, options.file), options.file)
      policy?.check(RolloutPolicy)
      const back = await api.call(rolloutContracts.rollbackRollout, { params: { rollout: id! }, body: { reason: options.reason, ...(policy === undefined ? {} : { policy: policy.value as object }) } })
      await finish(session, api, back, options)
    }))
}

function addLooking(rollout: Command, act: Act): void {
  rollout.command('list').alias('ls').description('list rollouts, newest first').addOption(new Option('--state <state>', 'only those').choices([...rolloutStates])).option('--limit <count>', 'at most so many', wholeNumber)
    .action(act<{ state?: RolloutState; limit?: number }>(async ({ io, format, client }, _, { state, limit }) => {
      const api = await client()
      printList({ io, format }, rolloutShape(io.nowMs()), await listAll((page) => api.call(rolloutContracts.listRollouts, { query: { ...page, ...(state === undefined ? {} : { state }) } }), limit))
    }))

  rollout.command('show <rollout>').description('show a rollout with its waves and the sites in flight')
    .action(act(async (session, [id]) => {
      const api = await session.client()
      await showRollout(session, api, await api.call(rolloutContracts.getRollout, { params: { rollout: id! } }))
    }))

  rollout.command('sites <rollout>').description("the sites' ways through a rollout").addOption(new Option('--state <state>', 'only those').choices([...deploymentStates])).option('--limit <count>', 'at most so many', wholeNumber)
    .action(act<{ state?: DeploymentState; limit?: number }>(async ({ io, format, client }, [id], { state, limit }) => {
      const api = await client()
      const params = { rollout: id! }
      printList({ io, format }, deploymentShape(io.nowMs()), await listAll((page) => api.call(rolloutContracts.listDeployments, { params, query: { ...page, ...(state === undefined ? {} : { state }) } }), limit))
    }))

  addWaitOptions(rollout.command('watch <rollout>')).description('watch a rollout to its end; the exit code says how it ended (murmur help exit-codes)')
    .action(act<WaitFlags>(async (session, [id], options) => watch(session, await session.client(), id!, options)))
}

function addSteering(rollout: Command, act: Act): void {
  type Steering = { reason: string }
  const steer = <O extends object = object>(line: string, description: string, work: (api: Client, id: string, options: Steering & O) => Promise<RolloutView>): Command =>
    rollout.command(line).description(description).addOption(reasonOption())
      .action(act<Steering & O>(async (session, [id], options) => {
        const api = await session.client()
        await showRollout(session, api, await work(api, id!, options))
      }))
  const params = (id: string): { rollout: string } => ({ rollout: id })

  steer('pause <rollout>', 'give no new grants; sites in flight go on', (api, id, { reason }) => api.call(rolloutContracts.pauseRollout, { params: params(id), body: { reason } }))
  steer('resume <rollout>', 'go on; acknowledges the failures seen so far', (api, id, { reason }) => api.call(rolloutContracts.resumeRollout, { params: params(id), body: { reason } }))
  steer<{ wave?: string }>('approve <rollout>', 'approve the wave that waits for it', (api, id, { reason, wave }) => api.call(rolloutContracts.approveRollout, { params: params(id), body: { reason, ...(wave === undefined ? {} : { wave }) } })).option('--wave <wave>', 'which, where several wait')
  steer<{ mode: (typeof abortModes)[number] }>('abort <rollout>', 'end it', (api, id, { reason, mode }) => api.call(rolloutContracts.abortRollout, { params: params(id), body: { reason, mode } }))
    .addOption(new Option('--mode <mode>', 'what becomes of the sites in flight').choices([...abortModes]).makeOptionMandatory())
  steer<{ site?: string[] }>('retry <rollout>', 'another attempt for the failed sites, or for those named', async (api, id, { reason, site }) => (await api.call(rolloutContracts.retryRollout, { params: params(id), body: { reason, ...(site === undefined ? {} : { sites: site }) } })).rollout)
    .option('--site <site>', 'only this site; may be repeated', collect)
  rollout.command('waive <rollout>').description('take failed or needs-hands sites out of the count, and free their places').requiredOption('--site <site>', 'a site; may be repeated', collect).requiredOption('--reason <text>', 'why, for the audit trail')
    .action(act<{ site: string[]; reason: string }>(async (session, [id], { site, reason }) => {
      const api = await session.client()
      await showRollout(session, api, (await api.call(rolloutContracts.waiveDeployments, { params: params(id!), body: { sites: site, reason } })).rollout)
    }))
}

async function showPlan({ io, format }: Session, api: Client, body: Awaited<ReturnType<typeof readRolloutRequest>>): Promise<void> {
  const plan = await api.call(rolloutContracts.planRollout, { body })
  printText({ io, format }, plan, planText(plan))
}

const hasLines = (format: OutputFormat): boolean => format === 'table'

async function showRollout({ io, format }: Session, api: Client, view: RolloutView): Promise<void> {
  if (!hasLines(format)) return printOne({ io, format }, rolloutShape(io.nowMs()), view)
  const lines = [view.id, `created ${timeText(view.createdAt)} by ${view.createdBy}, for ${selectorText(view.selector)}`, ...renderRollout(view, await readInFlight(api, view), io.nowMs())]
  io.out(lines.map((line) => `${line}\n`).join(''))
}

async function finish(session: Session, api: Client, view: RolloutView, options: WaitFlags): Promise<void> {
  if (options.wait !== true) return showRollout(session, api, view)
  session.io.err(`${view.id}\n`)
  await watch(session, api, view.id, options)
}

/** For people the way is the result; a program gets the end alone, and the way goes beside it. */
async function watch({ io, format, endWith }: Session, api: Client, id: string, { stay, timeout }: WaitFlags): Promise<void> {
  const shown = hasLines(format) ? io : { ...io, out: io.err, terminal: () => null }
  const end = await watchRollout(api, shown, id, { stay: stay ?? shown.terminal() !== null, ...(timeout === undefined ? {} : { limitMs: timeout }) })
  io.err(`${end.text}\n`)
  if (!hasLines(format)) printOne({ io, format }, rolloutShape(io.nowMs()), await api.call(rolloutContracts.getRollout, { params: { rollout: id } }))
  endWith(end.exit)
}
