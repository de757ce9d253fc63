import { createHash } from 'node:crypto'
import { CreateTopicRuleCommand, GetTopicRuleCommand, ListTopicRulesCommand, ReplaceTopicRuleCommand, type Action, type HttpAction, type IoTClient, type TopicRule } from '@aws-sdk/client-iot'
import { ruleName as nameOfRule } from '../../functions/adapters/aws/names.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { siteTopic, upTopics, type UpTopic } from '../../protocol/topics.ts'
import { counterpart, type Part } from './part.ts'
import { UsageError, type AccountSettings } from './settings.ts'

const pagesMax = 50
/** What AWS allows at most: each call of the controller costs, and reports are in no such hurry. */
const batchConfig = { maxBatchOpenMs: 200, maxBatchSize: 10, maxBatchSizeBytes: 131_072, batchAcrossTopics: true }
const authorization = 'authorization'

/** The rules that hand the sites' messages to the controller over HTTPS, one for each kind. Nothing rests on the FROM of one, which what comes by Basic Ingest may get around: the controller looks at the topic itself. */
export async function topicRules(client: IoTClient, settings: AccountSettings): Promise<Part[]> {
  const names = await namesOfRules(client)
  return Promise.all(upTopics.map((topic) => ruleFor(client, settings, topic, names)))
}

/** AWS answers a question about a rule that is not there as if it were forbidden, so their list is asked. */
async function namesOfRules(client: IoTClient): Promise<ReadonlySet<string>> {
  const names = new Set<string>()
  let nextToken: string | undefined
  for (let page = 0; page < pagesMax; page++) {
    const answer = await client.send(new ListTopicRulesCommand({ nextToken }))
    for (const { ruleName } of answer.rules ?? []) names.add(ruleName!)
    nextToken = answer.nextToken
    if (nextToken === undefined) break
  }
  return names
}

async function ruleFor(client: IoTClient, settings: AccountSettings, topic: UpTopic, names: ReadonlySet<string>): Promise<Part> {
  const ruleName = nameOfRule(settings.fleet, topic)
  const held = names.has(ruleName) ? ((await client.send(new GetTopicRuleCommand({ ruleName }))).rule ?? null) : null
  const token = settings.token === null ? tokenOf(held) : `Bearer ${settings.token}`
  if (token === null) throw new UsageError(`--token-file: the rule ${ruleName} needs a token of the role ingest: murmur token create rule --role ingest > FILE`)
  const http = { url: settings.webhookUrl, confirmationUrl: settings.webhookUrl, headers: [{ key: authorization, value: token }], enableBatching: true, batchConfig } satisfies HttpAction
  const payload = {
    sql: `SELECT encode(*, 'base64') AS payload, topic() AS topic FROM '${siteTopic(settings.fleet, '+' as SiteId, topic)}'`, awsIotSqlVersion: '2016-03-23', ruleDisabled: false,
    description: `Reports of the fleet ${settings.fleet} to its controller`, actions: [{ http }],
  }
  // what an operator has added for messages that could not be delivered stays
  const topicRulePayload = { ...payload, ...(Object.keys(held?.errorAction ?? {}).length > 0 ? { errorAction: held!.errorAction } : {}) }
  return {
    name: `rule ${ruleName}`, held: held === null ? null : withoutSecrets(counterpart(held, payload)), wanted: withoutSecrets(payload),
    make: async () => void (await client.send(held === null ? new CreateTopicRuleCommand({ ruleName, topicRulePayload }) : new ReplaceTopicRuleCommand({ ruleName, topicRulePayload }))),
  }
}

const headersOf = (action: Action | undefined) => action?.http?.headers ?? []
const tokenOf = (rule: TopicRule | null): string | null => headersOf(rule?.actions?.[0]).find(({ key }) => key === authorization)?.value ?? null

/** Tells two tokens apart without saying either. */
const disguised = (value: string): string => `Bearer (${createHash('sha256').update(value).digest('hex').slice(0, 12)})`

/** A rule as it may be shown. */
const withoutSecrets = (rule: unknown): unknown =>
  JSON.parse(JSON.stringify(rule), (_, value: unknown) => (isAuthorization(value) ? { ...value, value: disguised(value.value) } : value))

const isAuthorization = (value: unknown): value is { key: string; value: string } => typeof value === 'object' && value !== null && (value as { key?: unknown }).key === authorization
