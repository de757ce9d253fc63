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
/** One request may fail; the next is a minute later. */
const failuresMax = 2
const failuresKey = 'store-failures'

/**
 * Whether object store and broker are reached, as alarms of the fleet. Asks the store for one small thing; of the broker it takes what the outbox and the last publishing tell, and
 * opens no connection. Reads the directives that wait, at most `dispatchBatchMax`, and three rows; writes only what is news.
 */
export async function watchLinks(ctx: Ctx): Promise<void> {
  const [store, broker] = await Promise.all([lookAtStore(ctx), lookAtBroker(ctx)])
  await ctx.db.write([...store, ...conditionStatements(ctx, alarmIds.brokerUnreachable, 'broker', broker)])
}

async function lookAtStore(ctx: Ctx): Promise<Statement[]> {
  const [row] = await ctx.db.orm.select().from(setting).where(eq(setting.key, failuresKey))
  const before = Number(row?.value ?? 0)
  const fault = await inTime(ctx.store.head(storeKeys.epoch()), answerMsMax).then(() => null, (error: unknown) => describeFault(error).detail)
  const failures = fault === null ? 0 : Math.min(failuresMax, before + 1)
  const noted = { sql: 'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', args: [failuresKey, String(failures)] }
  const conditions = failures > 0 && failures < failuresMax ? [] : conditionStatements(ctx, alarmIds.storeUnreachable, 'object-store', failures === 0 ? null : fault)
  return [...(failures === before ? [] : [noted]), ...conditions]
}

/** What is wrong with the broker, or null. */
async function lookAtBroker(ctx: Ctx): Promise<string | null> {
  const { waiting, attempts } = await readOutbox(ctx)
  const fault = ctx.broker.fault?.() ?? null
  if (attempts < (fault === null ? attemptsMax.without : attemptsMax.withFault)) return null
  return fault ?? `it does not acknowledge what is published: ${waiting > 1 ? 'directives wait' : 'a directive waits'} for it`
}

function conditionStatements(ctx: Ctx, alarmId: string, entity: string, fault: string | null): Statement[] {
  const condition = `SELECT '${fleetSite}' AS site_id, '${alarmId}' AS alarm_id, '${entity}' AS entity`
  return fault === null ? clearConditions(ctx, { sql: condition, args: [] }) : raiseConditions(ctx, { sql: `${condition}, 'critical' AS severity, ? AS text`, args: [fault] })
}
