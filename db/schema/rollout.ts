import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { abortModes } from '../../protocol/directives.ts'
import type { ReleaseRef, RolloutId } from '../../protocol/ids.ts'
import type { Selector } from '../../protocol/labels.ts'
import type { RolloutPolicy, RolloutTarget, WavePolicy } from '../../protocol/policy.ts'
import type { AttemptReport, Fault } from '../../protocol/reports.ts'
import type { DeploymentState, PauseReason, RolloutState, WaveState } from '../../protocol/states.ts'

export type Pause = { reason: PauseReason; detail: string }

/** One target taken to a selection of sites under one policy. `version` guards every change that decide or an operator makes. */
export const rollout = sqliteTable(
  'rollout',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    target: text({ mode: 'json' }).$type<RolloutTarget>().notNull(),
    /** Digest and id of the target; null for `previousOf`, where each deployment has its own. */
    release: text({ mode: 'json' }).$type<ReleaseRef>(),
    selector: text({ mode: 'json' }).$type<Selector>().notNull(),
    policy: text({ mode: 'json' }).$type<RolloutPolicy>().notNull(),
    state: text().$type<RolloutState>().notNull(),
    pauses: text({ mode: 'json' }).$type<Pause[]>().notNull(),
    abortMode: text('abort_mode').$type<(typeof abortModes)[number]>(),
    members: integer().notNull(),
    priority: integer().notNull(),
    startAtMs: integer('start_at_ms'),
    startedMs: integer('started_ms'),
    endedMs: integer('ended_ms'),
    parkedUntilMs: integer('parked_until_ms'),
    /** When the schedule should look again although nothing was reported; null when only a report can change anything. */
    wakeMs: integer('wake_ms'),
    createdBy: text('created_by').notNull(),
    createdMs: integer('created_ms').notNull(),
    requestId: text('request_id').notNull(),
    version: integer().notNull(),
    /** The rollout that brings agents which this one needs, and that it does not start before the end of. */
    afterRollout: text('after_rollout').$type<RolloutId>(),
  },
  (t) => [
    // the tick asks for what is due, oldest first
    index('rollout_wake').on(t.wakeMs),
    index('rollout_state').on(t.state, t.id),
  ],
)
export type RolloutRow = typeof rollout.$inferSelect

export const wave = sqliteTable(
  'wave',
  {
    rolloutId: text('rollout_id').notNull(),
    ordinal: integer().notNull(),
    policy: text({ mode: 'json' }).$type<WavePolicy>().notNull(),
    state: text().$type<WaveState>().notNull(),
    openedMs: integer('opened_ms'),
    lastSuccessMs: integer('last_success_ms'),
    approvedBy: text('approved_by'),
    /** Failures and ends that a person has acknowledged by resuming. */
    failuresAcknowledged: integer('failures_acknowledged').notNull(),
    executedAcknowledged: integer('executed_acknowledged').notNull(),
  },
  (t) => [primaryKey({ columns: [t.rolloutId, t.ordinal] })],
)
export type WaveRow = typeof wave.$inferSelect

/** One site's way through one rollout. Triggers keep `counter` in step with `state`, inside whatever batch changes it (SPEC I12). */
export const deployment = sqliteTable(
  'deployment',
  {
    rolloutId: text('rollout_id').notNull(),
    siteId: text('site_id').notNull(),
    /** -1 for sites that were skipped when the waves were decided. */
    wave: integer().notNull(),
    /** Order inside the rollout, decided once. */
    place: integer().notNull(),
    /** Value of the `groupBy` label; empty without one. */
    grp: text().notNull(),
    state: text().$type<DeploymentState>().notNull(),
    attempt: integer().notNull(),
    /** Attempts that failed: what `retries` of the policy is compared with. */
    failures: integer().notNull(),
    from: text('from_release', { mode: 'json' }).$type<ReleaseRef>(),
    to: text('to_release', { mode: 'json' }).$type<ReleaseRef>(),
    /** Sequence of the report its state came from, within `seqIncarnation`. */
    seq: integer().notNull(),
    seqIncarnation: integer('seq_incarnation').notNull(),
    progress: text({ mode: 'json' }).$type<AttemptReport>(),
    why: text().notNull(),
    fault: text({ mode: 'json' }).$type<Fault>(),
    /** Not to be looked at again before this: a window opens, or a retry is due. */
    notBeforeMs: integer('not_before_ms').notNull(),
    grantedMs: integer('granted_ms'),
    startedMs: integer('started_ms'),
    endedMs: integer('ended_ms'),
    /** When silence turns into `unknown`: startBy + maxDuration + margin. Null unless in flight. */
    deadlineMs: integer('deadline_ms'),
    abortAcknowledged: integer('abort_acknowledged', { mode: 'boolean' }).notNull(),
    updatedMs: integer('updated_ms').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.rolloutId, t.siteId] }),
    // candidates of an open wave, in their order
    index('deployment_queue').on(t.rolloutId, t.state, t.wave, t.notBeforeMs, t.place),
    // everything about one site: conflicts, explain, hello
    index('deployment_site').on(t.siteId, t.state),
  ],
)
export type DeploymentRow = typeof deployment.$inferSelect

/** How many deployments of a (rollout, wave, group) are in a state. Written by triggers only. */
export const counter = sqliteTable(
  'counter',
  { rolloutId: text('rollout_id').notNull(), wave: integer().notNull(), grp: text().notNull(), state: text().$type<DeploymentState>().notNull(), n: integer().notNull() },
  (t) => [primaryKey({ columns: [t.rolloutId, t.wave, t.grp, t.state] })],
)
export type CounterRow = typeof counter.$inferSelect
