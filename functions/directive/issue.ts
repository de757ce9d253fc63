import type { Statement } from '../../db/client.ts'
import type { CommandBody } from '../../protocol/directives.ts'
import type { MonitoringSettings } from '../../protocol/monitoring.ts'
import type { Ctx } from '../context.ts'

/**
 * Directives are written by SQL, in the batch that decided them: the database gives out positions from the site's row,
 * so two decisions at the same moment can never give the same one (SPEC I5). Unsigned here; signed when dispatched.
 */

const upsert = `ON CONFLICT (site_id, slot) DO UPDATE SET epoch = excluded.epoch, generation = excluded.generation, body = excluded.body,
  pending = 1, attempts = 0, due_ms = excluded.due_ms, expires_ms = excluded.expires_ms, sent_ms = NULL`

const trustVersion = `coalesce((SELECT value->>'version' FROM setting WHERE key = 'trust'), 1)`
const position = (generation: string) => `json_object('epoch', s.epoch, 'generation', ${generation})`

/** The head that all directives share; `?` are fleet, issuedAtMs, requestId. */
const head = (kind: string, generation: string) =>
  `'v', 1, 'fleet', ?, 'site', s.id, 'incarnation', s.incarnation, 'position', ${position(generation)}, 'issuedAtMs', ?, 'trustVersion', ${trustVersion}, 'requestId', ?, 'kind', '${kind}'`

export type GrantTerms = { staging: 'ahead' | 'with-start'; back: boolean; startByMs: number; maxDurationMs: number }

/**
 * Desired and grant for the deployments of one rollout that this batch has just moved to `granted` (they carry
 * `granted_ms = nowMs`): the statements go after that move. A desired that was given out already, ahead of its start or for an earlier
 * attempt, stands: then the grant is all that travels.
 */
export function issueGrants(ctx: Ctx, rolloutId: string, siteIds: readonly string[], terms: GrantTerms): Statement[] {
  const sites = JSON.stringify(siteIds)
  const granted = `d.rollout_id = ? AND d.state = 'granted' AND d.granted_ms = ? AND d.site_id IN (SELECT value FROM json_each(?))`
  const whose = [rolloutId, ctx.nowMs, sites]
  const headArgs = [ctx.config.fleet, ctx.nowMs, ctx.requestId]
  const standing = (more: string) => `EXISTS (SELECT 1 FROM directive x WHERE x.site_id = d.site_id AND x.slot = 'desired' AND ${more})`
  const isStanding = standing(`site.desired_deployment = d.rollout_id || ':' || d.site_id AND site.desired->>'digest' = d.to_release->>'digest' AND x.epoch = site.desired_epoch AND x.generation = site.desired_generation AND site.desired_epoch = site.epoch AND x.body->>'incarnation' = site.incarnation`)
  return [
    {
      sql: `UPDATE site SET generation = generation + 2, desired_epoch = epoch, desired_generation = generation + 1, desired = d.to_release, desired_deployment = d.rollout_id || ':' || d.site_id
            FROM deployment d WHERE d.site_id = site.id AND ${granted} AND NOT ${isStanding}`,
      args: whose,
    },
    {
      // those whose desired stands: it is at the position that the site's row says
      sql: `UPDATE site SET generation = generation + 1 FROM deployment d
            WHERE d.site_id = site.id AND ${granted} AND ${standing('x.epoch = site.desired_epoch AND x.generation = site.desired_generation')}`,
      args: whose,
    },
    {
      sql: `INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT s.id, 'desired', s.desired_epoch, s.desired_generation,
              json_object(${head('desired', 's.desired_generation')}, 'release', json(d.to_release), 'deployment', d.rollout_id || ':' || d.site_id, 'staging', ?, 'back', json(?)),
              1, 0, ?, NULL, NULL FROM deployment d JOIN site s ON s.id = d.site_id
            WHERE ${granted} AND NOT ${standing('x.epoch = s.desired_epoch AND x.generation = s.desired_generation')} ${upsert}`,
      args: [...headArgs, terms.staging, String(terms.back), ctx.nowMs, ...whose],
    },
    {
      sql: `INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT s.id, 'grant', s.epoch, s.generation,
              json_object(${head('grant', 's.generation')}, 'desired', ${position('s.desired_generation')}, 'deployment', d.rollout_id || ':' || d.site_id, 'attempt', d.attempt,
                'startByMs', ?, 'maxDurationMs', ?, 'bootId', s.boot_id),
              1, 0, ?, ?, NULL FROM deployment d JOIN site s ON s.id = d.site_id WHERE ${granted} ${upsert}`,
      args: [...headArgs, terms.startByMs, terms.maxDurationMs, ctx.nowMs, terms.startByMs, ...whose],
    },
  ]
}

/**
 * Desired alone, ahead of any grant, so that bytes can travel before the start: for every site of this rollout, but for those that another
 * rollout changes or is about to change (they are told with their grant).
 */
export function issueAhead(ctx: Ctx, rolloutId: string, back: boolean): Statement[] {
  const which = `d.rollout_id = ? AND d.wave >= 0 AND d.state = 'pending'
    AND NOT EXISTS (SELECT 1 FROM deployment o WHERE o.site_id = d.site_id AND o.rollout_id <> d.rollout_id AND o.state IN ('pending', 'granted', 'running', 'needs-hands'))`
  return [
    {
      sql: `UPDATE site SET generation = generation + 1, desired_epoch = epoch, desired_generation = generation + 1, desired = d.to_release, desired_deployment = d.rollout_id || ':' || d.site_id
            FROM deployment d WHERE d.site_id = site.id AND ${which}`,
      args: [rolloutId],
    },
    {
      sql: `INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT s.id, 'desired', s.epoch, s.generation,
              json_object(${head('desired', 's.generation')}, 'release', json(d.to_release), 'deployment', d.rollout_id || ':' || d.site_id, 'staging', 'ahead', 'back', json(?)),
              1, 0, ?, NULL, NULL
            FROM deployment d JOIN site s ON s.id = d.site_id WHERE ${which} ${upsert}`,
      args: [ctx.config.fleet, ctx.nowMs, ctx.requestId, String(back), ctx.nowMs, rolloutId],
    },
  ]
}

/**
 * Gives the current desired, and the grant while it is good, new positions above whatever was given out before, with the
 * site's present boot and incarnation. `which` selects site ids, with its own arguments; only the
 * change that `order` names last may end it.
 */
export function reissue(ctx: Pick<Ctx, 'nowMs'>, which: Statement, order: 'site-then-directives' | 'directives-then-site'): Statement[] {
  const siteFirst = order === 'site-then-directives'
  const [desired, grant] = siteFirst ? ['s.generation - 1', 's.generation'] : ['s.generation + 1', 's.generation + 2']
  const place = (slot: string, generation: string, more: string) => ({
    sql: `UPDATE directive SET epoch = s.epoch, generation = ${generation}, pending = 1, attempts = 0, due_ms = ?, sent_ms = NULL,
            body = json_set(body, '$.position', ${position(generation)}, '$.incarnation', s.incarnation, '$.issuedAtMs', ?, '$.trustVersion', ${trustVersion}${more})
          FROM site s WHERE s.id = directive.site_id AND slot = '${slot}' AND (expires_ms IS NULL OR expires_ms > ?) AND s.id IN (${which.sql})`,
    args: [ctx.nowMs, ctx.nowMs, ctx.nowMs, ...which.args],
  })
  const site = { sql: `UPDATE site SET generation = generation + 2, desired_epoch = epoch, desired_generation = generation + 1 WHERE id IN (${which.sql})`, args: which.args }
  const directives = [place('desired', desired!, ''), place('grant', grant!, `, '$.desired', ${position(desired!)}, '$.bootId', s.boot_id`)]
  return siteFirst ? [site, ...directives] : [...directives, site]
}

/** An abort for each of these deployments; each command has an id of its own, by which the site's answer is matched. */
export function issueAborts(ctx: Ctx, aborts: readonly { siteId: string; deployment: string; attempt: number; commandId: string }[], mode: 'safe-point' | 'revert', expiresMs: number): Statement[] {
  const rows = JSON.stringify(aborts.map((a) => [a.siteId, a.deployment, a.attempt, a.commandId]))
  return [
    { sql: `UPDATE site SET generation = generation + 1 WHERE id IN (SELECT value->>0 FROM json_each(?))`, args: [rows] },
    {
      sql: `INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT s.id, 'command/' || (j.value->>3), s.epoch, s.generation,
              json_object(${head('command', 's.generation')}, 'id', j.value->>3, 'bootId', s.boot_id, 'expiresAtMs', ?,
                'body', json_object('type', 'abort', 'deployment', j.value->>1, 'attempt', j.value->>2, 'mode', ?)),
              1, 0, ?, ?, NULL
            FROM json_each(?) AS j JOIN site s ON s.id = j.value->>0 WHERE true ${upsert}`,
      args: [ctx.config.fleet, ctx.nowMs, ctx.requestId, expiresMs, mode, ctx.nowMs, expiresMs, rows],
    },
  ]
}

/** Where the command to watch otherwise waits for its answer. */
export const monitoringSlot = 'command/monitoring'

/** A site at the generation it was read with, the digest of the settings it is to follow, and when it may be told again. */
export type MonitoringOrder = { siteId: string; generation: number; digest: string; nextMs: number }

/**
 * The settings to watch by, each in place of the one before. The command is called after its generation and its settings' digest, so that its answer
 * tells what the site then follows (`monitoringHeldBy`); until then nobody knows. A site that got another directive meanwhile is left out.
 */
export function issueMonitoring(ctx: Ctx, orders: readonly MonitoringOrder[], settingsOf: ReadonlyMap<string, MonitoringSettings>, expiresMs: number): Statement[] {
  const rows = JSON.stringify(orders.map((o) => [o.siteId, o.generation, o.digest, o.nextMs]))
  return [
    {
      sql: `UPDATE site SET generation = generation + 1, monitoring_held = '', monitoring_due_ms = j.value->>3, monitoring_tries = monitoring_tries + 1
            FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.generation = j.value->>1 AND site.monitoring_wanted = j.value->>2`,
      args: [rows],
    },
    {
      sql: `INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT s.id, '${monitoringSlot}', s.epoch, s.generation,
              json_object(${head('command', 's.generation')}, 'id', 'cm_' || printf('%012x', s.generation) || substr(t.key, 1, 14), 'bootId', s.boot_id, 'expiresAtMs', ?,
                'body', json_object('type', 'monitoring', 'settings', json(t.value))),
              1, 0, ?, ?, NULL
            FROM json_each(?) AS j JOIN site s ON s.id = j.value->>0 AND s.generation = j.value->>1 + 1 AND s.monitoring_held = '' AND s.monitoring_wanted = j.value->>2
              JOIN json_each(?) AS t ON t.key = j.value->>2
            WHERE true ${upsert} WHERE (excluded.epoch, excluded.generation) > (directive.epoch, directive.generation)`,
      args: [ctx.config.fleet, ctx.nowMs, ctx.requestId, expiresMs, ctx.nowMs, expiresMs, rows, JSON.stringify(Object.fromEntries(settingsOf))],
    },
  ]
}

/** What sites follow that carried out such a command: `answers` selects site and command. Goes before the answered commands are deleted. */
export const monitoringHeldBy = (answers: Statement): Statement => ({
  sql: `UPDATE site SET monitoring_held = iif(substr(monitoring_wanted, 1, 14) = substr(a.command, 16), monitoring_wanted, '') FROM (${answers.sql}) AS a JOIN directive c ON c.site_id = a.site_id AND c.slot = '${monitoringSlot}' AND c.body->>'id' = a.command
        WHERE site.id = a.site_id`,
  args: answers.args,
})

/** A command for each of these sites, good until `expiresMs` and for the boot that said the newest hello. */
export function issueCommands(ctx: Ctx, commands: readonly { siteId: string; commandId: string; body: CommandBody }[], expiresMs: number): Statement[] {
  const rows = JSON.stringify(commands.map((c) => [c.siteId, c.commandId, c.body]))
  return [
    { sql: `UPDATE site SET generation = generation + 1 WHERE id IN (SELECT value->>0 FROM json_each(?))`, args: [rows] },
    {
      sql: `INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT s.id, 'command/' || (j.value->>1), s.epoch, s.generation,
              json_object(${head('command', 's.generation')}, 'id', j.value->>1, 'bootId', s.boot_id, 'expiresAtMs', ?, 'body', json(j.value->2)), 1, 0, ?, ?, NULL
            FROM json_each(?) AS j JOIN site s ON s.id = j.value->>0 WHERE true ${upsert}`,
      args: [ctx.config.fleet, ctx.nowMs, ctx.requestId, expiresMs, ctx.nowMs, expiresMs, rows],
    },
  ]
}

/** Asks every enrolled site for its hello: what a controller does that cannot believe what it holds about them. `name`, 26 sortable characters that nothing else has, is what the commands are called after. */
export function issueHellos(ctx: Pick<Ctx, 'config' | 'nowMs' | 'requestId'>, name: string, expiresMs: number): Statement[] {
  return [
    { sql: `UPDATE site SET generation = generation + 1 WHERE state = 'enrolled'`, args: [] },
    {
      sql: `WITH named AS (SELECT id, 'cm_' || ? || printf('%06x', row_number() OVER (ORDER BY id)) AS command FROM site WHERE state = 'enrolled')
            INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT s.id, 'command/' || named.command, s.epoch, s.generation,
              json_object(${head('command', 's.generation')}, 'id', named.command, 'bootId', NULL, 'expiresAtMs', ?, 'body', json_object('type', 'hello')),
              1, 0, ?, ?, NULL
            FROM named JOIN site s ON s.id = named.id WHERE true ${upsert}`,
      args: [name.slice(0, 20), ctx.config.fleet, ctx.nowMs, ctx.requestId, expiresMs, ctx.nowMs, expiresMs],
    },
  ]
}
