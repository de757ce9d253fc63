import type { Statement } from '../../db/client.ts'
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
