import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'
import { heedHellos } from '../restore/heed-hellos.ts'
import { raiseOutcomes, settleOutcomes } from '../rollout/note-outcomes.ts'
import type { Folded } from './fold.ts'
import { judgeSites } from './judge-site.ts'
import { alarmStatements } from './record-alarms.ts'
import { answerStatements, liftStatements, resendStatements } from './record-answers.ts'
import { attemptStatements, closeStatements, contradictStatements } from './record-attempts.ts'
import { followsStatement, inventoryStatement, stagedStatement, stateStatement } from './record-facts.ts'
import { metricStatements } from './record-metrics.ts'
import { missingStatements } from './record-missing.ts'
import { backOnlineStatements, goodbyeStatements, greetingStatement, helloStatement, unsuspectStatements, verdictStatements } from './record-presence.ts'

/**
 * The statements that make a folded batch true, all in one database batch and without a read before it: each row is guarded by
 * its own sequence, so repeated, reordered and concurrent batches change nothing twice (SPEC I8, F36, F49). The number of
 * statements does not depend on the number of reports.
 */
export function recordReports(ctx: Ctx, folded: Folded): Statement[] {
  const unstarted = folded.attempts.filter((attempt) => attempt.event === 'not-started')
  const ended = folded.attempts.filter((attempt) => attempt.event !== 'started')
  const moved = JSON.stringify([...new Set([...ended, ...folded.hellos].map(({ site }) => site))])
  const online = [...folded.hellos, ...folded.greetings]
  return [
    ...(folded.hellos.length > 0 ? [...heedHellos(ctx, folded.hellos), helloStatement(ctx, folded.hellos)] : []),
    ...(folded.greetings.length > 0 ? [greetingStatement(ctx, folded.greetings)] : []),
    ...(online.length > 0 ? backOnlineStatements(ctx, online) : []),
    ...verdictStatements(ctx, judgeSites(folded, ctx.nowMs)),
    ...(folded.states.length > 0 ? [stateStatement(folded.states)] : []),
    ...missingStatements(folded.attempts),
    ...(folded.attempts.length > 0 ? attemptStatements(ctx, folded.attempts) : []),
    ...(folded.goodbyes.length > 0 ? goodbyeStatements(ctx, folded.goodbyes) : []),
    ...(folded.staged.length > 0 ? [stagedStatement(folded.staged)] : []),
    ...(folded.inventories.length > 0 ? [inventoryStatement(folded.inventories)] : []),
    ...(folded.metrics.length > 0 ? unsuspectStatements(ctx, folded.metrics) : []),
    ...(folded.metrics.length + folded.lives.length > 0 ? metricStatements(ctx, folded) : []),
    ...(folded.follows.length > 0 ? [followsStatement(folded.follows)] : []),
    // behind metrics and what stands: what an alarm says is void when either is newer
    ...alarmStatements(ctx, folded),
    ...(folded.answers.length > 0 ? answerStatements(ctx, folded.answers) : []),
    ...(folded.positions.length > 0 ? liftStatements(ctx, folded.positions) : []),
    ...(folded.hellos.length > 0 ? contradictStatements(ctx, folded.hellos) : []),
    ...(folded.hellos.length + unstarted.length > 0 ? closeStatements(ctx, [...folded.hellos, ...unstarted]) : []),
    ...(ended.length > 0 ? raiseOutcomes(ctx, ended.map(({ rolloutId, site }) => [rolloutId, site] as const)) : []),
    ...(ended.length + folded.hellos.length > 0 ? settleOutcomes(ctx, { sql: 'SELECT value FROM json_each(?)', args: [moved] }) : []),
    ...(folded.hellos.length + folded.resend.length > 0 ? resendStatements(ctx, folded) : []),
  ]
}
