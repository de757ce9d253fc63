import { Option, type Command } from 'commander'
import type { BodyInput, ResponseOf } from '../../protocol/http/contract.ts'
import { deliveryStates, webhookContracts, webhookFormats, type WebhookFormat, type WebhookView } from '../../protocol/http/webhooks.ts'
import { eventTypes } from '../../protocol/events.ts'
import { severities, type Severity } from '../../protocol/states.ts'
import { CliError } from '../cli-error.ts'
import { listAll } from '../client.ts'
import { readText } from '../files/read-yaml.ts'
import { printList, printOne, printText } from '../output/print.ts'
import { plural } from '../output/words.ts'
import { decimal, instant, span, wholeNumber } from '../read-options.ts'
import { checkSelector, collect } from '../select-sites.ts'
import { confirm, type Act, type AddCommands, type Session } from '../session.ts'
import { attemptText, deliveryShape, describeDelivery, webhookShape } from '../webhook/webhook-shape.ts'

type FilterOptions = { type?: string[]; severity?: Severity; selector?: string; release?: string; perSecond?: number }
type AddOptions = FilterOptions & { format: WebhookFormat; signing: 'v1' | 'v1a'; routingKeyFile?: string }
type WithSecret = ResponseOf<typeof webhookContracts.createWebhook>
/** As the API has it; checked before it is sent. */
type Filter = NonNullable<BodyInput<typeof webhookContracts.createWebhook>['filter']>

const addFilterOptions = (command: Command): Command =>
  command.option('--type <type>', 'of events, such as alarm.raised or rollout.*; may be repeated (else all)', collect).addOption(new Option('--severity <severity>', 'alarms that are at least as bad').choices([...severities]))
    .option('-l, --selector <selector>', 'events of sites with these labels').option('--release <release>', 'events about this release').option('--per-second <count>', 'at most so many messages a second', decimal)

export const addWebhookCommands: AddCommands = (program, act) => {
  const webhook = program.command('webhook').description('endpoints that are told what happens')
  addSubscribing(webhook, act)
  addLooking(webhook, act)
  addSteering(webhook, act)
  webhook.addHelpText('after', `
    murmur webhook add pager https://events.example.com/hook --type 'alarm.*' --severity major
    murmur webhook add ops-chat - --format slack < channel-url
    murmur webhook test wh_…
    murmur webhook deliveries wh_… --state dead
    murmur webhook replay wh_… --from 2026-05-01T22:00:00Z
Types of events: ${eventTypes.join(', ')}`)
}

function addSubscribing(webhook: Command, act: Act): void {
  addFilterOptions(webhook.command('add <name> <url>')).description('subscribe an endpoint; the secret that signs is shown once. - reads the URL from the standard input, for one that is a secret itself')
    .addOption(new Option('--format <format>', 'how events are written').choices([...webhookFormats]).default('standard')).addOption(new Option('--signing <scheme>', 'v1: a shared secret; v1a: a key pair, of which the receiver gets the public half').choices(['v1', 'v1a']).default('v1'))
    .option('--routing-key-file <file>', "holds PagerDuty's integration key")
    .action(act<AddOptions>(async (session, [name, url], options) => {
      const { io } = session
      const { format, signing, routingKeyFile } = options
      const body = {
        name: name!, url: url === '-' ? (await readText(io, '-')).trim() : url!, format, signing, filter: filterOf(options),
        ...(options.perSecond === undefined ? {} : { perSecond: options.perSecond }), ...(routingKeyFile === undefined ? {} : { routingKey: (await readText(io, routingKeyFile)).trim() }),
      }
      showSecret(session, await (await session.client()).call(webhookContracts.createWebhook, { body }))
    }))

  addFilterOptions(webhook.command('update <webhook>')).description('change what an endpoint is told, its name or its URL; a filter that is given takes the place of the whole one before')
    .option('--name <name>', 'what people call it').option('--to <url>', 'another URL; - reads it from the standard input')
    .action(act<FilterOptions & { name?: string; to?: string }>(async (session, [id], options) => {
      const { name, to, perSecond } = options
      const filter = filterOf(options)
      const changes = {
        ...(name === undefined ? {} : { name }), ...(to === undefined ? {} : { url: to === '-' ? (await readText(session.io, '-')).trim() : to }),
        ...(perSecond === undefined ? {} : { perSecond }), ...(Object.keys(filter).length === 0 ? {} : { filter }),
      }
      if (Object.keys(changes).length === 0) throw new CliError('usage', 'say what to change: --name, --to, --per-second, or a filter')
      showWebhook(session, await (await session.client()).call(webhookContracts.updateWebhook, { params: { webhook: id! }, body: changes }))
    }))

  webhook.command('rotate <webhook>').description('make a new secret, shown once; messages are signed with both until the old one ends').option('--keep-old-for <span>', 'such as 24h, which it is unless said', span)
    .action(act<{ keepOldFor?: number }>(async (session, [id], { keepOldFor }) =>
      showSecret(session, await (await session.client()).call(webhookContracts.rotateWebhook, { params: { webhook: id! }, body: keepOldFor === undefined ? {} : { keepOldFor } }))))
}

function addLooking(webhook: Command, act: Act): void {
  webhook.command('list').alias('ls').description('list webhooks')
    .action(act(async ({ io, format, client }) => {
      const api = await client()
      printList({ io, format }, webhookShape(io.nowMs()), await listAll((page) => api.call(webhookContracts.listWebhooks, { query: page })))
    }))

  webhook.command('show <webhook>').description('show a webhook')
    .action(act(async (session, [id]) => showWebhook(session, await (await session.client()).call(webhookContracts.getWebhook, { params: { webhook: id! } }))))

  webhook.command('deliveries <webhook> [delivery]').description('its messages, newest first; or one with its body and its last attempts')
    .addOption(new Option('--state <state>', 'only those').choices([...deliveryStates])).option('--limit <count>', 'at most so many (50)', wholeNumber)
    .action(act<{ state?: (typeof deliveryStates)[number]; limit?: number }>(async ({ io, format, client }, [id, delivery], { state, limit }) => {
      const api = await client()
      if (delivery !== undefined) {
        const detail = await api.call(webhookContracts.getDelivery, { params: { webhook: id!, delivery } })
        return printText({ io, format }, detail, describeDelivery(detail, io.nowMs()))
      }
      const query = state === undefined ? {} : { state }
      printList({ io, format }, deliveryShape(io.nowMs()), await listAll((page) => api.call(webhookContracts.listDeliveries, { params: { webhook: id! }, query: { ...query, ...page } }), limit ?? 50))
    }))
}

type ReplayOptions = { from?: string; to?: string; all?: true }

function addSteering(webhook: Command, act: Act): void {
  webhook.command('test <webhook>').description('send a test event now, once; the exit code is 1 when the endpoint does not take it').option('--message <text>', 'what it says')
    .action(act<{ message?: string }>(async ({ io, format, client, endWith }, [id], { message }) => {
      const attempt = await (await client()).call(webhookContracts.testWebhook, { params: { webhook: id! }, body: message === undefined ? {} : { message } })
      printText({ io, format }, attempt, `${attemptText(attempt)}\n`)
      if (attempt.status === null || attempt.status < 200 || attempt.status > 299) endWith('failure')
    }))

  webhook.command('replay <webhook> [delivery]').description('send one message again, or those of a time range that were not delivered')
    .option('--from <time>', 'such as 2026-05-01T22:00:00Z', instant).option('--to <time>', 'now unless said', instant).option('--all', 'also those that were delivered')
    .action(act<ReplayOptions>(async ({ io, format, client }, [id, delivery], { from, to, all }) => {
      if ((delivery === undefined) === (from === undefined)) throw new CliError('usage', 'name one delivery, or a range with --from')
      const api = await client()
      const replay = async (body: BodyInput<typeof webhookContracts.replayDeliveries>) => api.call(webhookContracts.replayDeliveries, { params: { webhook: id! }, body })
      let replayed = 0
      if (delivery !== undefined) replayed = (await replay({ delivery })).replayed
      const end = to ?? new Date(io.nowMs()).toISOString()
      for (let next = from ?? null; next !== null; ) {
        const answer = await replay({ from: next, to: end, which: all === true ? 'all' : 'undelivered' })
        replayed += answer.replayed
        next = answer.next === next ? null : answer.next
      }
      printText({ io, format }, { replayed }, `${plural(replayed, 'message')} will be sent again\n`)
    }))

  const switchTo = (line: string, description: string, state: WebhookView['state']): Command =>
    webhook.command(`${line} <webhook>`).description(description)
      .action(act(async (session, [id]) => showWebhook(session, await (await session.client()).call(webhookContracts.updateWebhook, { params: { webhook: id! }, body: { state } }))))
  switchTo('enable', 'tell it again: what happens from then on, and what still waits for it', 'enabled')
  switchTo('disable', 'stop telling it', 'disabled')

  webhook.command('remove <webhook>').description('remove a webhook and all that waits for it').option('-y, --yes', 'do not ask')
    .action(act<{ yes?: boolean }>(async ({ io, client }, [id], { yes }) => {
      const api = await client()
      const { name, waiting, version } = await api.call(webhookContracts.getWebhook, { params: { webhook: id! } })
      await confirm(io, `Remove ${name}? ${plural(waiting, 'message')} for it will not be sent.`, yes)
      await api.call(webhookContracts.removeWebhook, { params: { webhook: id! }, ifMatch: version })
      io.err(`${id!} was removed\n`)
    }))
}

function filterOf({ type, severity, selector, release }: FilterOptions): Filter {
  checkSelector(selector)
  return { ...(type === undefined ? {} : { types: type as NonNullable<Filter['types']> }), ...(severity === undefined ? {} : { severity }), ...(selector === undefined ? {} : { labelSelector: selector }), ...(release === undefined ? {} : { release }) }
}

const showWebhook = ({ io, format }: Session, webhook: WebhookView): void => printOne({ io, format }, webhookShape(io.nowMs()), webhook)

/** The secret goes alone to the output, for a file or a pipe; all else beside it. */
function showSecret({ io, format }: Session, made: WithSecret): void {
  const { webhook, secret } = made
  if (format === 'name') {
    io.err(secret === null ? '' : 'its secret was not shown; `murmur webhook rotate` makes one that is\n')
    return io.out(`${webhook.id}\n`)
  }
  if (format !== 'json' && format !== 'yaml') {
    io.err(`${webhook.id} tells ${webhook.url}. ${secret === null ? 'Its messages are verified with this public key:' : 'Its secret is shown only now: give it to the receiver, keep it where secrets are kept, and make a new one with `murmur webhook rotate` if it is lost.'}\n`)
  }
  printText({ io, format }, made, `${secret ?? webhook.publicKey ?? ''}\n`)
}
