import { eq } from 'drizzle-orm'
import { GuardLost, statement } from '../../db/client.ts'
import { site, type SiteRow } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { BodyOf, ResponseOf } from '../../protocol/http/contract.ts'
import type { siteContracts } from '../../protocol/http/sites.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { checkSettings } from './check-settings.ts'
import { makeClaim } from './claim.ts'
import { viewSite } from './view.ts'

type Contract = typeof siteContracts.createSite

/** What a site is before any agent has said anything. */
const unheard = {
  state: 'claimed', publicKey: null, presence: 'unknown', connectionId: null, bootId: null, helloSeq: 0, lastSeenMs: null,
  agentVersion: null, architecture: null, protocolMin: null, protocolMax: null, clockTrusted: null, running: null, previous: null, runningSeq: 0, staged: null, attempt: null,
  nodes: [], inventory: {}, inventorySeq: 0, held: null, desired: null, desiredDeployment: null,
  monitoring: {}, monitoringChecked: 0, monitoringWanted: null, monitoringHeld: null, monitoringDueMs: 0, monitoringTries: 0, standingIncarnation: 0, standingSeq: 0, locks: [],
} satisfies Partial<SiteRow>

/**
 * Adds a site and makes its claim. A name that was removed may be added again: it begins anew, but goes on counting
 * incarnations and positions, so that nothing sealed or signed for the site before is ever taken for its own. Throws
 * `conflict` for a name that is in use, `bad-request` for schedules that cannot be.
 */
export async function createSite(ctx: Ctx, input: BodyOf<Contract>): Promise<ResponseOf<Contract>> {
  checkSettings(input)
  const { columns, view } = await makeClaim(ctx, input.id)
  const [known] = await ctx.db.orm.select().from(site).where(eq(site.id, input.id))
  const exists = (): FleetError => new FleetError('conflict', `there is a site ${input.id} already`, { reason: 'exists' })
  if (known !== undefined && known.state !== 'removed') throw exists()
  const fresh = { incarnation: 0, epoch: 0, generation: 0, desiredEpoch: 0, desiredGeneration: 0, version: 0 }
  const row: SiteRow = { ...fresh, ...known, ...unheard, ...input, ...columns, createdMs: ctx.nowMs, version: (known?.version ?? 0) + 1 }
  const insert = ctx.db.orm.insert(site).values(row).onConflictDoUpdate({ target: site.id, set: row })
  const event = { action: 'site.created', entity: `site/${row.id}`, siteId: row.id, why: known === undefined ? 'added' : 'added again after its removal', detail: { labels: row.labels, timeZone: row.timeZone } }
  try {
    await ctx.db.write([statement(insert), recordEvents(ctx, [event])], [{ sql: 'SELECT version FROM site WHERE id = ?', args: [row.id], is: known?.version ?? null }])
  } catch (error) {
    if (error instanceof GuardLost) throw exists()
    throw error
  }
  return { site: viewSite(row), claim: view }
}
