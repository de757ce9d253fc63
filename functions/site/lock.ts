import { eq } from 'drizzle-orm'
import { statement, type Statement } from '../../db/client.ts'
import { site, type NodeLockRow, type SiteRow } from '../../db/schema/fleet.ts'
import { alarmIds } from '../../protocol/alarms.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { ResponseOf } from '../../protocol/http/contract.ts'
import type { monitoringContracts } from '../../protocol/http/monitoring.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { announceStatements, clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { reconsiderSite } from '../rollout/reconsider-site.ts'
import { loadSite, siteUnmoved } from './load.ts'
import { viewLocks } from './view.ts'

type Locks = ResponseOf<typeof monitoringContracts.lockNode>

/**
 * Somebody works at a node: what that brings about is not announced, and no deployment starts at its site. Of a node that is locked the reason is
 * changed; the same again changes nothing. Throws `not-found` for a site that is not there, or a node it does not have as far as it has said.
 */
export async function lockNode(ctx: Ctx, id: string, node: NodeName, reason: string): Promise<Locks> {
  const row = await loadSite(ctx, id)
  if (row.nodes.length > 0 && !row.nodes.some(({ name }) => name === node)) throw new FleetError('not-found', `${id} has no node ${node}; it has ${row.nodes.map(({ name }) => name).join(', ')}`)
  const known = row.locks.find((lock) => lock.node === node)
  if (known?.reason === reason) return { locks: viewLocks(row.locks) }
  const lock = { node, reason, by: known?.by ?? ctx.actor.name, atMs: known?.atMs ?? ctx.nowMs }
  const locks = [...row.locks.filter((other) => other.node !== node), lock]
  if (locks.length > limits.nodesPerSiteMax) throw new FleetError('conflict', `${limits.nodesPerSiteMax} nodes of ${id} are locked already, and it can have no more`, { reason: 'too-many' })
  const condition = { sql: `SELECT ? AS site_id, '${alarmIds.nodeLocked}' AS alarm_id, ? AS entity, 'warning' AS severity, ? AS text`, args: [id, entityOf(node), `${node} is locked by ${lock.by}: ${reason}`] }
  return write(ctx, row, locks, { action: 'site.locked', why: reason, node }, raiseConditions(ctx, condition))
}

/** The work is done: what it kept silent and still stands is announced, and deployments may start again. A node that is not locked stays so. Throws `not-found`. */
export async function unlockNode(ctx: Ctx, id: string, node: NodeName): Promise<Locks> {
  const row = await loadSite(ctx, id)
  const known = row.locks.find((lock) => lock.node === node)
  if (known === undefined) return { locks: viewLocks(row.locks) }
  const condition = { sql: `SELECT ? AS site_id, '${alarmIds.nodeLocked}' AS alarm_id, ? AS entity`, args: [id, entityOf(node)] }
  const after = [...clearConditions(ctx, condition), ...announceStatements(ctx, { sql: 'SELECT ?', args: [id] })]
  return write(ctx, row, row.locks.filter((lock) => lock !== known), { action: 'site.unlocked', why: `unlocked by ${ctx.actor.name}`, node }, after)
}

/** `after` goes behind the change of the locks: what is silenced is told from them. */
async function write(ctx: Ctx, row: SiteRow, locks: NodeLockRow[], { action, why, node }: { action: string; why: string; node: string }, after: readonly Statement[]): Promise<Locks> {
  const update = ctx.db.orm.update(site).set({ locks, version: row.version + 1 }).where(eq(site.id, row.id))
  const event = { action, entity: `site/${row.id}`, siteId: row.id, why, detail: { node } }
  await ctx.db.write([statement(update), ...after, ...reconsiderSite(row.id, ctx.nowMs), recordEvents(ctx, [event])], [siteUnmoved(row)])
  return { locks: viewLocks(locks) }
}

const entityOf = (node: string): string => `node=${node}`
