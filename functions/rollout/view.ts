import { and, eq, inArray, sql } from 'drizzle-orm'
import { counter, deployment, rollout, wave, type DeploymentRow, type RolloutRow } from '../../db/schema/rollout.ts'
import { FleetError } from '../../protocol/errors.ts'
import { at, atOrNull } from '../../protocol/http/contract.ts'
import type { Counts, DeploymentView, RolloutView, WaveView } from '../../protocol/http/rollouts.ts'
import type { Blocker } from '../../protocol/http/sites.ts'
import type { RolloutId, SiteId } from '../../protocol/ids.ts'
import { isBarrier } from '../../protocol/policy.ts'
import type { DeploymentState } from '../../protocol/states.ts'
import type { Ctx } from '../context.ts'
import { assemble, gatingAlarms } from './gather.ts'
import { openingHindrances, type Hindrance } from './judge.ts'
import { addTallies, membersIn, type RolloutSnapshot, type Tally } from './snapshot.ts'

/** One rollout as the API shows it, or not-found. */
export async function viewRollout(ctx: Ctx, id: string): Promise<RolloutView> {
  const [row] = await ctx.db.orm.select().from(rollout).where(eq(rollout.id, id))
  if (row === undefined) throw new FleetError('not-found', `there is no rollout ${id}`)
  return (await viewRollouts(ctx, [row]))[0]!
}

/** Several, with one round trip for what belongs to them. */
export async function viewRollouts(ctx: Ctx, rows: readonly RolloutRow[]): Promise<RolloutView[]> {
  if (rows.length === 0) return []
  const ids = rows.map((row) => row.id)
  const [waves, counters, alarms, aborts] = await ctx.db.orm.batch([
    ctx.db.orm.select().from(wave).where(inArray(wave.rolloutId, ids)).orderBy(wave.rolloutId, wave.ordinal),
    ctx.db.orm.select().from(counter).where(inArray(counter.rolloutId, ids)),
    gatingAlarms(ctx, ids),
    ctx.db.orm
      .select({ rolloutId: deployment.rolloutId, n: sql<number>`count(*)` })
      .from(deployment)
      .where(and(inArray(deployment.rolloutId, rows.filter((row) => row.abortMode !== null).map((row) => row.id)), eq(deployment.abortAcknowledged, true)))
      .groupBy(deployment.rolloutId),
  ])
  return rows.map((row) => {
    const own = <T extends { rolloutId: string }>(all: readonly T[]) => all.filter((item) => item.rolloutId === row.id)
    const snapshot = assemble(row, own(waves), own(counters), own(alarms))
    return asView(ctx, row, snapshot, own(waves).map((w) => w.openedMs), own(aborts)[0]?.n ?? 0)
  })
}

function asView(ctx: Ctx, row: RolloutRow, snapshot: RolloutSnapshot, openedMs: readonly (number | null)[], acknowledged: number): RolloutView {
  const whole = addTallies([...snapshot.waves.map((w) => w.tally), snapshot.outside])
  return {
    id: row.id as RolloutId, name: row.name, target: row.target, selector: row.selector, policy: row.policy, state: row.state, pauses: row.pauses,
    after: row.afterRollout, members: row.members, counts: countsOf(whole),
    waves: snapshot.waves.map((w, i): WaveView => {
      const next = snapshot.waves[i + 1]
      const gates = w.state !== 'waiting' && next?.state === 'waiting' ? openingHindrances(w, snapshot.policy.alarmGate, ctx.nowMs) : []
      return {
        ordinal: w.ordinal, name: w.policy.name, state: w.state, members: membersIn(w.tally), counts: countsOf(w.tally), barrier: isBarrier(w.policy), successThreshold: w.policy.successThreshold,
        approvedBy: w.approvedBy, openedAt: atOrNull(openedMs[i] ?? null), lastSuccessAt: atOrNull(w.lastSuccessMs), waitingFor: gates.map(asBlocker),
      }
    }),
    abort: row.abortMode === null ? null : { mode: row.abortMode, inFlight: whole.granted + whole.running, acknowledged },
    parkedUntil: whole.parked > 0 ? atOrNull(row.parkedUntilMs) : null,
    createdBy: row.createdBy, createdAt: at(row.createdMs), startedAt: atOrNull(row.startedMs), endedAt: atOrNull(row.endedMs), requestId: row.requestId, version: row.version,
  }
}

const countsOf = (tally: Tally): Counts => Object.fromEntries(Object.entries(tally).filter(([, n]) => n > 0)) as Counts

export const asBlocker = (h: Hindrance): Blocker => ({ code: h.code, text: h.text, endsAt: atOrNull(h.untilMs), endsBy: h.by })

/** A deployment's row as the API shows it. `waveNames` are those of its rollout, by ordinal. */
export function viewDeployment(row: DeploymentRow, waveNames: ReadonlyMap<number, string>): DeploymentView {
  const { progress } = row
  return {
    rollout: row.rolloutId as RolloutId, site: row.siteId as SiteId, wave: waveNames.get(row.wave) ?? null, group: row.grp, state: row.state satisfies DeploymentState, attempt: row.attempt,
    from: row.from, to: row.to, phase: progress?.phase ?? null, bytesDone: progress?.bytesDone ?? 0, bytesTotal: progress?.bytesTotal ?? 0, nodesDone: progress?.nodesDone ?? 0, nodesTotal: progress?.nodesTotal ?? 0,
    why: row.why, fault: row.fault, grantedAt: atOrNull(row.grantedMs), startedAt: atOrNull(row.startedMs), endedAt: atOrNull(row.endedMs), deadlineAt: atOrNull(row.deadlineMs), updatedAt: at(row.updatedMs),
  }
}
