import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { DeploymentId, Position, ReleaseRef } from '../../protocol/ids.ts'
import type { Labels } from '../../protocol/labels.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'
import type { AttemptReport, NodeReport } from '../../protocol/reports.ts'
import type { Presence, SiteState } from '../../protocol/states.ts'
import type { Freeze, Window } from '../../protocol/time.ts'

/** A node where somebody works. */
export type NodeLockRow = { node: string; reason: string; by: string; atMs: number }

/** One row a site: what the operator decided about it, and what it last said. `version` guards operators' changes only. */
export const site = sqliteTable(
  'site',
  {
    id: text().primaryKey(),
    labels: text({ mode: 'json' }).$type<Labels>().notNull(),
    timeZone: text('time_zone').notNull(),
    windows: text({ mode: 'json' }).$type<Window[]>().notNull(),
    freezes: text({ mode: 'json' }).$type<Freeze[]>().notNull(),
    state: text().$type<SiteState>().notNull(),
    version: integer().notNull(),
    createdMs: integer('created_ms').notNull(),
    // identity
    incarnation: integer().notNull(),
    publicKey: text('public_key'),
    claimHash: text('claim_hash'),
    claimExpiresMs: integer('claim_expires_ms'),
    // presence, from hello and gone
    presence: text().$type<Presence>().notNull(),
    connectionId: text('connection_id'),
    bootId: text('boot_id'),
    helloSeq: integer('hello_seq').notNull(),
    lastSeenMs: integer('last_seen_ms'),
    // what it said of itself
    agentVersion: text('agent_version'),
    architecture: text(),
    protocolMax: integer('protocol_max'),
    clockTrusted: integer('clock_trusted', { mode: 'boolean' }),
    running: text({ mode: 'json' }).$type<ReleaseRef>(),
    previous: text({ mode: 'json' }).$type<ReleaseRef>(),
    runningSeq: integer('running_seq').notNull(),
    staged: text(),
    attempt: text({ mode: 'json' }).$type<AttemptReport>(),
    nodes: text({ mode: 'json' }).$type<NodeReport[]>().notNull(),
    inventory: text({ mode: 'json' }).$type<Record<string, string>>().notNull(),
    inventorySeq: integer('inventory_seq').notNull(),
    held: text({ mode: 'json' }).$type<Position>(),
    // directives: the newest position given out, and what the site should run
    epoch: integer().notNull(),
    generation: integer().notNull(),
    desired: text({ mode: 'json' }).$type<ReleaseRef>(),
    desiredDeployment: text('desired_deployment').$type<DeploymentId>(),
    desiredEpoch: integer('desired_epoch').notNull(),
    desiredGeneration: integer('desired_generation').notNull(),
    // beside protocolMax; null from before it was kept
    protocolMin: integer('protocol_min'),
    // what it watches; `monitoringChecked` is the generation of rules that `monitoringWanted` (a digest) was worked out for, 0: look again
    monitoring: text({ mode: 'json' }).$type<MonitoringSettings>().notNull().default({}),
    monitoringChecked: integer('monitoring_checked').notNull().default(0),
    monitoringWanted: text('monitoring_wanted'),
    /** The digest that its agent said it follows; '' once it was told another and has not answered yet; null where it cannot say. */
    monitoringHeld: text('monitoring_held'),
    /** Not told again before this, and how often it was told in vain. */
    monitoringDueMs: integer('monitoring_due_ms').notNull().default(0),
    monitoringTries: integer('monitoring_tries').notNull().default(0),
    locks: text({ mode: 'json' }).$type<NodeLockRow[]>().notNull().default([]),
    // the report that last said by itself what stands there
    standingIncarnation: integer('standing_incarnation').notNull().default(0),
    standingSeq: integer('standing_seq').notNull().default(0),
  },
  (t) => [
    // the console's and the CLI's filter; most sites are online, so the others are found quickly
    index('site_presence').on(t.presence, t.id),
    // partial in the migration: only enrolled sites, and of those only the ones that are online and follow something else
    index('site_monitoring').on(t.monitoringChecked, t.id),
    index('site_monitoring_lacking').on(t.monitoringDueMs, t.id),
  ],
)
export type SiteRow = typeof site.$inferSelect
