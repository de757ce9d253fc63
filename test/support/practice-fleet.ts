import type { Labels } from '../../protocol/labels.ts'
import type { ReleaseRef } from '../../protocol/ids.ts'
import { Manifest, type Component } from '../../protocol/manifest.ts'
import { RolloutRequest } from '../../protocol/policy.ts'
import type { Outcome } from '../../protocol/states.ts'
import type { z } from 'zod'
import type { Database } from '../../db/client.ts'
import type { Ctx } from '../../functions/context.ts'
import { dispatchDirectives } from '../../functions/directive/dispatch.ts'
import { tickRollouts } from '../../functions/rollout/tick.ts'
import { createRollout } from '../../functions/rollout/create.ts'
import { viewRollout } from '../../functions/rollout/view.ts'
import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { Controller } from './controller.ts'
import { PracticeSite } from './practice-site.ts'

const digestOfNumber = (n: number) => n.toString(16).padStart(64, '0')

export type SiteRow = { id: string; labels?: Labels; timeZone?: string; windows?: unknown[]; freezes?: unknown[] }

/** Enrolled sites as rows, offline: what the controller knows before their first hello. */
export async function addSites(db: Database, sites: readonly SiteRow[]): Promise<void> {
  const rows = sites.map((s) => [s.id, JSON.stringify(s.labels ?? {}), s.timeZone ?? 'UTC', JSON.stringify(s.windows ?? []), JSON.stringify(s.freezes ?? [])])
  await db.write([
    {
      sql: `INSERT INTO site (id, labels, time_zone, windows, freezes, state, version, created_ms, incarnation, presence, hello_seq, running_seq, nodes, inventory, inventory_seq, epoch, generation, desired_epoch, desired_generation)
            SELECT value->>0, value->>1, value->>2, value->>3, value->>4, 'enrolled', 1, 0, 1, 'offline', 0, 0, '[]', '{}', 0, 1, 0, 0, 0 FROM json_each(?)`,
      args: [JSON.stringify(rows)],
    },
  ])
}

/** Sites that are enrolled (rows only, no HTTP) and have said hello. */
export async function enrolSites(controller: Controller, sites: readonly (SiteRow & { offline?: boolean })[]): Promise<Map<string, PracticeSite>> {
  await addSites(controller.db, sites)
  const fleet = new Map<string, PracticeSite>()
  for (const s of sites) {
    const site = new PracticeSite(controller, s.id)
    fleet.set(s.id, site)
    if (s.offline !== true) await site.connect()
  }
  return fleet
}

/** An available release of `app`, as a row: what the engine looks at. */
export async function addRelease(controller: Pick<Controller, 'db'>, version: string, more: Partial<z.input<typeof Manifest>> = {}): Promise<ReleaseRef> {
  const component: z.input<typeof Component> = { name: 'app', version, config: { driver: 'files', target: '/opt/app' }, tree: { digest: digestOfNumber(1), listingBytes: 10, size: 1000, files: 1 } as Component['tree'] }
  const manifest = Manifest.parse({ v: 1, kind: 'release', name: 'app', version, createdAtMs: 0, components: [component], ...more })
  const digest = digestOfNumber(1000 + Number(version.replaceAll(/\D/g, '')))
  const id = `${manifest.name}@${version}`
  await controller.db.write([
    {
      sql: `INSERT INTO release (id, name, digest, state, detail, envelope, manifest, publisher_key, index_digest, index_bytes, content_bytes, stored_bytes, objects, objects_confirmed, created_ms, available_ms, version)
            VALUES (?, ?, ?, 'available', '', '{}', ?, '', '', 0, 1000, 1000, 1, 1, 0, 0, 1)`,
      args: [id, manifest.name, digest, JSON.stringify(manifest)],
    },
  ])
  return { id, digest } as ReleaseRef
}

/** Who the verbs of a test are done by. */
export const operator = (controller: Controller): Ctx => controller.context({ name: 'token:test', role: 'operator' })

export async function startRollout(controller: Controller, request: z.input<typeof RolloutRequest>): Promise<RolloutView> {
  const view = await createRollout(operator(controller), RolloutRequest.parse(request))
  await dispatchDirectives(controller.context())
  return view
}

/** The schedule's part, at the controller's present time. */
export async function tick(controller: Controller): Promise<void> {
  await tickRollouts(controller.context())
  await dispatchDirectives(controller.context())
}
export const look = (controller: Controller, id: string): Promise<RolloutView> => viewRollout(controller.context(), id)

/** Lets every site do what it was granted until nobody has anything to do; `outcomeOf` says how each ends. Returns the sites in the order they acted. */
export async function runFleet(controller: Controller, fleet: ReadonlyMap<string, PracticeSite>, outcomeOf: (site: PracticeSite) => Outcome = () => 'succeeded'): Promise<string[]> {
  const order: string[] = []
  for (let round = 0; round < 1000; round++) {
    let acted = false
    for (const site of fleet.values()) {
      if (await site.comply(() => outcomeOf(site))) {
        order.push(site.id)
        acted = true
      }
    }
    await controller.settle()
    if (!acted) return order
  }
  throw new Error('the fleet never came to rest')
}
