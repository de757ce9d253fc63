import { eq } from 'drizzle-orm'
import type { Statement } from '../../db/client.ts'
import { setting } from '../../db/schema/operations.ts'
import { alarmIds, fleetSite } from '../../protocol/alarms.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import type { Ctx } from '../context.ts'
import { readOutbox } from './check-backlog.ts'
import { describeFault } from './describe-fault.ts'
import { inTime } from './finding.ts'

const answerMsMax = 5000
/** Tried so often in vain, a directive waits because of the broker and not because of a moment; fewer where the broker itself says that it cannot be reached. */
const attemptsMax = { withFault: 2, without: 4 }
/** One try may fail; the next is a minute later. */
const failuresMax = 2

/** What is wrong with a link, or null; `isSure` where it has been wrong for a while already. */
type Fault = { detail: string; isSure: boolean } | null

/**
 * Whether object store and broker are reached, as alarms of the fleet. Asks the store for one small thing; of the broker it takes what the outbox and the last publishing tell, and
 * opens no connection but the one that a Node process keeps: on Workers a broker that is away is noticed when something waits for it. Reads the directives that wait, at
 * most `dispatchBatchMax`, and four rows; writes only what is news.
 */
export async function watchLinks(ctx: Ctx): Promise<void> {
  const [store, broker] = await Promise.all([lookAtStore(ctx), lookAtBroker(ctx)])
  const statements = await Promise.all([conclude(ctx, 'store-failures', alarmIds.storeUnreachable, 'object-store', store), conclude(ctx, 'broker-failures', alarmIds.brokerUnreachable, 'broker', broker)])
  await ctx.db.write(statements.flat())
}

async function lookAtStore(ctx: Ctx): Promise<Fault> {
  return inTime(ctx.store.head(storeKeys.epoch()), answerMsMax).then(() => null, (error: unknown) => ({ detail: describeFault(error).detail, isSure: false }))
}

async function lookAtBroker(ctx: Ctx): Promise<Fault> {
  const { waiting, attempts } = await readOutbox(ctx)
  // to publish nothing tells whether there is a connection to be had
  if (waiting === 0 && ctx.config.host === 'node') await ctx.broker.publish([])
  const fault = ctx.broker.fault?.() ?? null
  if (attempts >= (fault === null ? attemptsMax.without : attemptsMax.withFault)) return { detail: fault ?? `it does not acknowledge what is published: ${waiting > 1 ? 'directives wait' : 'a directive waits'} for it`, isSure: true }
  return fault === null ? null : { detail: fault, isSure: false }
}

/** A link that failed once may have had a bad moment: its alarm is left as it is until the next run. */
async function conclude(ctx: Ctx, failuresKey: string, alarmId: string, entity: string, fault: Fault): Promise<Statement[]> {
  const [row] = await ctx.db.orm.select().from(setting).where(eq(setting.key, failuresKey))
  const before = Number(row?.value ?? 0)
  const failures = fault === null ? 0 : fault.isSure ? failuresMax : Math.min(failuresMax, before + 1)
  const noted = { sql: 'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', args: [failuresKey, String(failures)] }
  const condition = `SELECT '${fleetSite}' AS site_id, '${alarmId}' AS alarm_id, '${entity}' AS entity`
  return [
    ...(failures === before ? [] : [noted]),
    ...(failures === 0 ? clearConditions(ctx, { sql: condition, args: [] }) : []),
    ...(fault !== null && failures === failuresMax ? raiseConditions(ctx, { sql: `${condition}, 'critical' AS severity, ? AS text`, args: [fault.detail] }) : []),
  ]
}
