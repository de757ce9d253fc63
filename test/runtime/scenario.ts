import type { Database } from '../../db/client.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { addRelease, addSites } from '../support/practice-fleet.ts'
import { sleep } from '../support/program.ts'
import { RemoteSites } from '../support/remote-sites.ts'
import type { Rig } from './rig.ts'

type Messages = Awaited<ReturnType<RemoteSites['hellos']>>

/** How the world treats the controller: what comes of a batch of reports until it is taken, and of the schedule's turn. */
export type World = { post(sites: RemoteSites, messages: Messages): Promise<unknown>; tick(): Promise<unknown> }

const siteIds = Array.from({ length: 12 }, (_, i) => `site-${String.fromCharCode(97 + i)}`)
const failing = new Set(['site-c', 'site-h'])
const waves = [{ name: 'canary', size: 1, selector: { sites: ['site-a'] }, soak: '1h' }, { name: 'ramp', size: 4, soak: '1h', successThreshold: 0.5 }, { name: 'rest', size: 'rest' as const }]
const ticksMax = 30

/** Everything that the scenario leaves behind, away; tokens and trust stay. A controller that remembers nothing does not notice. */
async function emptyDatabase(db: Database): Promise<void> {
  const tables = ['site', 'alarm', 'release', 'rollout', 'wave', 'deployment', 'counter', 'directive', 'audit', 'idempotency', 'sqlite_sequence']
  await db.write([...tables.map((table) => ({ sql: `DELETE FROM ${table}`, args: [] })), { sql: "DELETE FROM setting WHERE key <> 'trust'", args: [] }])
}

/** Hours go by: starts and soaks that were waited for are over, and the rollout is due. */
const hoursLater = (db: Database) => db.write([{ sql: 'UPDATE rollout SET wake_ms = 1, start_at_ms = 1', args: [] }, { sql: 'UPDATE wave SET last_success_ms = 1 WHERE last_success_ms IS NOT NULL', args: [] }])

/**
 * One rollout in three waves over twelve sites, two of which fail, in an empty database. Waves are opened by the schedule,
 * places are filled by reports. Returns the end state, without times and what is drawn by lot.
 */
export async function runScenario(rig: Rig, world: World): Promise<Record<string, unknown[]>> {
  const { db } = rig
  await emptyDatabase(db)
  rig.broker.messages.length = 0
  await addSites(db, siteIds.map((id) => ({ id })))
  const release = await addRelease(rig, '1.0.0')
  const sites = new RemoteSites(rig.bridge, siteIds)
  await world.post(sites, await sites.hellos(siteIds))
  const startAt = new Date(Date.now() + 3_600_000).toISOString()
  const policy = { waves, maxParallel: 3, failureThreshold: { value: 5 }, startAt } as never
  const { id } = await rig.worker.client.call(contracts.createRollout, { body: { name: 'scenario', target: { release: release.id }, selector: { all: true }, policy } })
  for (const _ of waves) {
    await hoursLater(db)
    await tickUntil(world, async () => (await sites.granted()).length > 0)
    for (let grants = await sites.granted(); grants.length > 0; grants = await sites.granted()) {
      await world.post(sites, await sites.progress(grants, () => 'started'))
      await world.post(sites, await sites.progress(grants, (site) => (failing.has(site) ? 'rolled-back' : 'succeeded')))
    }
  }
  const count = async (sql: string): Promise<unknown> => (await db.write([{ sql, args: [] }]))[0]!.rows[0]!.n
  await tickUntil(world, async () => (await count(`SELECT count(*) AS n FROM rollout WHERE state = 'completed'`)) === 1 && (await count('SELECT count(*) AS n FROM directive WHERE pending = 1')) === 0)
  return endState(rig, id)
}

async function tickUntil(world: World, isSo: () => Promise<boolean>): Promise<void> {
  for (let ticks = 0; ticks < ticksMax; ticks++) {
    await world.tick()
    if (await isSo()) return
    await sleep(50)
  }
  throw new Error(`nothing came of ${ticksMax} ticks`)
}

/**
 * Rows of what matters, without times, versions, request ids and who happened to come by when a decision was due; and the
 * distinct directives that were published, grants among them: their rows go when they are used.
 */
async function endState(rig: Rig, rollout: string): Promise<Record<string, unknown[]>> {
  const queries = {
    sites: 'SELECT id, state, presence, running, previous, desired, desired_epoch, desired_generation, epoch, generation, hello_seq, running_seq FROM site ORDER BY id',
    rollouts: 'SELECT name, state, pauses, members, abort_mode FROM rollout ORDER BY name',
    waves: 'SELECT ordinal, state, failures_acknowledged, executed_acknowledged FROM wave ORDER BY ordinal',
    deployments: 'SELECT site_id, wave, place, state, attempt, failures, seq, from_release, to_release, why, fault, deadline_ms FROM deployment ORDER BY site_id',
    counters: 'SELECT wave, grp, state, n FROM counter WHERE n <> 0 ORDER BY wave, grp, state',
    recount: 'SELECT wave, grp, state, count(*) AS n FROM deployment GROUP BY wave, grp, state ORDER BY wave, grp, state',
    directives: `SELECT site_id, slot, epoch, generation, json_remove(body, '$.issuedAtMs', '$.startByMs', '$.requestId') AS body, pending FROM directive WHERE slot <> 'grant' ORDER BY site_id, slot`,
    audit: `SELECT site_id, action, why, json_remove(detail, '$.requestId') AS detail FROM audit WHERE entity LIKE 'rollout/%' ORDER BY site_id, action, why, detail`,
    alarms: 'SELECT site_id, alarm_id, entity FROM alarm ORDER BY site_id, alarm_id, entity',
  }
  const results = await rig.db.write(Object.values(queries).map((sql) => ({ sql, args: [] })))
  const tidy = (value: unknown): unknown => (typeof value === 'string' ? value.replaceAll(rollout, 'ro') : value)
  const tables = Object.fromEntries(Object.keys(queries).map((name, i) => [name, results[i]!.rows.map((row) => Object.fromEntries(results[i]!.columns.map((column) => [column, tidy(row[column])])))]))
  const published = rig.broker.messages.map(({ topic, payload }) => {
    const { position } = JSON.parse(Buffer.from((JSON.parse(Buffer.from(payload).toString()) as { payload: string }).payload, 'base64').toString()) as { position: { epoch: number; generation: number } }
    return `${topic} ${position.epoch}/${position.generation}`
  })
  return { ...tables, published: [...new Set(published)].sort() }
}
