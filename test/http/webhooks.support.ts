import { answerOf } from '../../functions/adapters/memory/memory-http-sender.ts'
import type { Ctx } from '../../functions/context.ts'
import type { OutgoingRequest } from '../../functions/ports/http-sender.ts'
import { runWebhooks } from '../../functions/webhook/run.ts'
import { EventBatch, FleetEvent } from '../../protocol/events.ts'
import type { BodyInput } from '../../protocol/http/contract.ts'
import type { webhookContracts } from '../../protocol/http/webhooks.ts'
import { startController, type Controller } from '../support/controller.ts'

type Subscription = Partial<BodyInput<typeof webhookContracts.createWebhook>>
type Sent = { url: string; id: string; timestampS: number; signatures: string; events: FleetEvent[] }
type Said = { site?: string; alarmId?: string; entity?: string; severity?: string; text?: string }

/** What one request said, by the events that it carried. */
function readRequest({ url, headers, body }: OutgoingRequest): Sent {
  const message = JSON.parse(body) as { type: string; data: unknown }
  const events = message.type === 'murmuration.batch' ? EventBatch.parse(message.data).events : [FleetEvent.parse(message)]
  return { url, id: headers['webhook-id']!, timestampS: Number(headers['webhook-timestamp']), signatures: headers['webhook-signature']!, events }
}

/** The messages of a webhook's log, in the order they were made, as the database has them. */
type Row = { id: string; state: string; attempts: number; events: FleetEvent[]; dueMs: number; endedMs: number | null; replayOf: string | null; log: { status: number | null; error: string | null }[] }

/** A controller with two sites, and what tests about webhooks do with it. */
export async function startSubscriptions() {
  const controller = await startController()
  await controller.call('createSite', { body: { id: 'kiel', labels: { region: 'north' } } })
  await controller.call('createSite', { body: { id: 'husum', labels: { region: 'west' } } })
  await settle(controller)

  const identity = (said: Said) => ({ site: 'kiel', alarmId: '100.003', entity: 'node=a.filesystem=/var', ...said })
  return {
    controller,
    /** Subscribes an endpoint at `https://NAME.example.com/hook`; returns its id. */
    async subscribe(name: string, more: Subscription = {}): Promise<string> {
      const answer = await controller.call('createWebhook', { body: { name, url: `https://${name}.example.com/hook`, ...more } })
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
      await settle(controller)
      return answer.body.webhook.id
    },
    raise: (said: Said = {}) => controller.call('raiseAlarm', { body: { severity: 'major', text: 'full', ...identity(said) } }),
    clear: (said: Said = {}) => controller.call('clearAlarm', { body: identity({ site: said.site ?? 'kiel', ...(said.entity === undefined ? {} : { entity: said.entity }), ...(said.alarmId === undefined ? {} : { alarmId: said.alarmId }) }) }),
    identity,
    /** Many alarms of one site in one statement, as a batch of reports would raise them. */
    async storm(from: number, count: number, site = 'kiel'): Promise<void> {
      await controller.db.write([{
        sql: `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
              INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq) SELECT ?, '120.002', 'check=' || i, 'major', 'no answer', 0, ?, NULL, 0 FROM n`,
        args: [from, from + count, site, controller.clock.nowMs()],
      }])
    },
    /** What the schedule does, and all that it began. */
    async run(ctx: Ctx = controller.context()): Promise<void> {
      await runWebhooks(ctx)
      await settle(controller)
    },
    settle: () => settle(controller),
    /** Runs the schedule until so much time has passed. */
    async pass(spanMs: number, stepMs = 5000): Promise<void> {
      for (let passed = 0; passed < spanMs; passed += stepMs) {
        controller.clock.advance(stepMs)
        await this.run()
      }
    },
    /** What was sent so far, to an endpoint of a name or to all. */
    sent: (name?: string): Sent[] => controller.http.requests.filter(({ url }) => name === undefined || url.startsWith(`https://${name}.`)).map(readRequest),
    /** From now on an endpoint answers this. */
    answers(reply: (name: string, request: OutgoingRequest) => ReturnType<typeof answerOf> | Promise<ReturnType<typeof answerOf>>): void {
      controller.http.answer = (request) => reply(/^https:\/\/([\w-]+)\./.exec(request.url)![1]!, request)
    },
    async log(webhookId: string): Promise<Row[]> {
      const [found] = await controller.db.write([{ sql: 'SELECT * FROM delivery WHERE webhook_id = ? ORDER BY seq', args: [webhookId] }])
      return found!.rows.map((row) => ({
        id: String(row.id), state: String(row.state), attempts: Number(row.attempts), events: JSON.parse(String(row.events)) as FleetEvent[], dueMs: Number(row.due_ms),
        endedMs: row.ended_ms === null ? null : Number(row.ended_ms), replayOf: row.replay_of === null ? null : String(row.replay_of), log: JSON.parse(String(row.log)) as Row['log'],
      }))
    },
    close: () => controller.close(),
  }
}
export type Subscriptions = Awaited<ReturnType<typeof startSubscriptions>>

async function settle(controller: Controller): Promise<void> {
  while ((await controller.settle()).length > 0);
}
