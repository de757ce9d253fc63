import { listAll, type Client } from '../../cli/client.ts'
import { monitoringContracts } from '../../protocol/http/monitoring.ts'
import { webhookContracts } from '../../protocol/http/webhooks.ts'
import type { WebhookReceiver } from './webhook-receiver.ts'

/** The directory whose budget the fault of the practice fills, on each node of the canary. */
export const spoolPath = '/var/spool/sign'
export const spoolBudgetBytes = 1_000_000

const off = { minor: null, major: null, critical: null }
const webhookName = 'practice receiver'

/**
 * What the practice fleet watches. All its sites are directories of one machine, whose own load, disks, clock and units would be the alarm of
 * every one of them: only what is a site's own is left on. The canary's spool has a budget, and is looked at often.
 */
export async function prepareMonitoring(client: Client): Promise<void> {
  const machine = { cpu: off, memory: off, filesystem: off, clock: off, interfaces: { watch: [] }, units: { enabled: false }, disks: { enabled: false }, kubernetes: { enabled: false } }
  await client.call(monitoringContracts.putMonitoringRule, { params: { rule: 'practice-machine' }, body: { labelSelector: 'tier', priority: 0, settings: machine } })
  const spool = { everyS: 5, directory: { budgets: { [spoolPath]: spoolBudgetBytes }, raiseAfter: 1, outOf: 1, clearAfter: 1 } }
  await client.call(monitoringContracts.putMonitoringRule, { params: { rule: 'practice-spool' }, body: { labelSelector: 'tier=canary', priority: 1, settings: spool } })
}

/** Subscribes the receiver to alarms and pauses, in place of the one of an earlier start, which listened elsewhere. */
export async function subscribeReceiver(client: Client, receiver: WebhookReceiver): Promise<void> {
  for (const { id, name } of await listAll((page) => client.call(webhookContracts.listWebhooks, { query: page }))) {
    if (name === webhookName) await client.call(webhookContracts.removeWebhook, { params: { webhook: id } })
  }
  const { secret } = await client.call(webhookContracts.createWebhook, { body: { name: webhookName, url: receiver.url, filter: { types: ['alarm.*', 'rollout.pause', 'rollout.resume'] } } })
  receiver.trust(secret!)
}
