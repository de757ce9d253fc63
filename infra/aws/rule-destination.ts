import { CreateTopicRuleDestinationCommand, GetTopicRuleDestinationCommand, ListTopicRuleDestinationsCommand, UpdateTopicRuleDestinationCommand, type IoTClient, type TopicRuleDestinationSummary } from '@aws-sdk/client-iot'
import type { Part } from './part.ts'
import type { AccountSettings } from './settings.ts'

const pagesMax = 50
const looks = { times: 20, everyMs: 500 }

/**
 * Where the rules may send to. AWS asks the controller there whether it wants that, and until the controller has said yes
 * nothing is sent; one that waits in vain is asked again.
 */
export async function ruleDestination(client: IoTClient, { webhookUrl }: AccountSettings): Promise<Part> {
  const held = await find(client, webhookUrl)
  const wanted = { confirmationUrl: webhookUrl, status: 'ENABLED' }
  return {
    name: `destination ${webhookUrl}${held?.statusReason ? ` (${held.statusReason})` : ''}`, held: held === null ? null : { confirmationUrl: webhookUrl, status: held.status }, wanted,
    async make() {
      const arn = held === null ? (await client.send(new CreateTopicRuleDestinationCommand({ destinationConfiguration: { httpUrlConfiguration: { confirmationUrl: webhookUrl } } }))).topicRuleDestination!.arn! : held.arn!
      // one that was confirmed before needs no second confirmation
      if (held !== null) await client.send(new UpdateTopicRuleDestinationCommand({ arn, status: held.status === 'DISABLED' ? 'ENABLED' : 'IN_PROGRESS' }))
      await confirmed(client, arn, webhookUrl)
    },
  }
}

async function find(client: IoTClient, confirmationUrl: string): Promise<TopicRuleDestinationSummary | null> {
  let nextToken: string | undefined
  for (let page = 0; page < pagesMax; page++) {
    const answer = await client.send(new ListTopicRuleDestinationsCommand({ nextToken }))
    const found = answer.destinationSummaries?.find((each) => each.httpUrlSummary?.confirmationUrl === confirmationUrl)
    if (found !== undefined) return found
    nextToken = answer.nextToken
    if (nextToken === undefined) break
  }
  return null
}

/** Resolves once the controller has said yes; throws with what to look at when it has not within some seconds. */
async function confirmed(client: IoTClient, arn: string, url: string): Promise<void> {
  for (let look = 1; ; look++) {
    const { topicRuleDestination } = await client.send(new GetTopicRuleDestinationCommand({ arn }))
    if (topicRuleDestination?.status === 'ENABLED') return
    const state = `${topicRuleDestination?.status ?? 'unknown'}${topicRuleDestination?.statusReason ? `, ${topicRuleDestination.statusReason}` : ''}`
    if (look === looks.times) throw new Error(`the destination is not confirmed yet (${state}). Its controller must run with the MURMUR_AWS_ settings of this account and be reached by AWS at ${url}; its log says ingress.confirmed, or why not. Then run this again`)
    await new Promise((resolve) => setTimeout(resolve, looks.everyMs))
  }
}
