import type { Statement } from '../../db/client.ts'
import { alarmCatalogue, alarmIds, saidOnceAlarms } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import type { Severity } from '../../protocol/states.ts'
import { clearConditions, raiseConditions } from '../alarm/record-conditions.ts'
import { isNews, raiseStatement } from '../alarm/raise-statement.ts'
import { isFlapping, rankOf } from '../alarm/sql.ts'
import type { Ctx } from '../context.ts'
import { slotOf } from '../metric/ring.ts'
import type { Folded } from './fold.ts'

type Said = { site: string; incarnation: number; seq: number; alarmId: string; entity: string; severity: Severity; text: string; sinceMs?: number | undefined }

/** A site's clock may be this far off; a time that is further away says nothing (1970, 2100). */
const sinceBackMs = 30 * 86_400_000
const sinceAheadMs = 5 * 60_000
/** Rows of alarms that a site cleared and that nobody here knew are kept up to this, so that a late copy of their raise raises nothing. */
const clearedUnknownMax = 4 * limits.alarmsPerSiteMax

const onceIds = saidOnceAlarms.map((id) => `'${id}'`).join(', ')

/**
 * What sites say of their alarms: single ones that were raised or cleared, and snapshots of all that stand. Each alarm is guarded by (incarnation, sequence), and what is
 * older than the newest snapshot of its site is void. A snapshot without news writes no row. Reads for each alarm that is said two rows, for each snapshot
 * those that stand at its site, and once for a site that raises something new how many do and how many have changed of late, at most 1,280.
 */
export function alarmStatements(ctx: Ctx, folded: Pick<Folded, 'alarms' | 'standing'>): Statement[] {
  const single = folded.alarms.map((each) => ({ ...each, ...named(each), single: true }))
  const later = new Set(single.map(keyOf))
  const standing = folded.standing.map(({ site, incarnation, seq, alarms }) => {
    const unique = new Map(alarms.map((each) => ({ site, incarnation, seq, ...each, ...named(each) })).filter((each) => !later.has(keyOf(each))).map((each) => [keyOf(each), each]))
    return { site, incarnation, seq, alarms: ofSites(ctx, [...unique.values()]) }
  })
  const own = ofSites(ctx, single)
  const cleared = own.filter(({ raised }) => !raised)
  const raised = [...own.filter((each) => each.raised), ...standing.flatMap(({ alarms }) => alarms.map((each) => ({ ...each, single: false })))]
  const sites = [...new Set([...cleared, ...standing].map(({ site }) => site))]
  return [
    ...(cleared.length > 0 ? clearStatements(ctx, sayRows(ctx, cleared)) : []),
    ...(standing.length > 0 ? [clearAbsentStatement(ctx, standing)] : []),
    ...(raised.length > 0 ? raiseStatements(ctx, sayRows(ctx, raised)) : []),
    ...(sites.length > 0 ? clearConditions(ctx, sitesWithRoom(ctx, sites)) : []),
  ]
}

/** Nothing is dropped for having no name, or one that a database would cut off at its NUL. */
const named = ({ alarmId, entity, text }: { alarmId: string; entity: string; text: string }) => ({ alarmId: readable(alarmId) || '-', entity: readable(entity) || '-', text: readable(text) })
const readable = (text: string): string => text.replaceAll('\0', '\uFFFD')
const keyOf = ({ site, alarmId, entity }: { site: string; alarmId: string; entity: string }): string => `${site}/${alarmId}/${entity}`

/** Without those that only the controller can find out: a site that says them is wrong, or lies. */
function ofSites<T extends Said>(ctx: Ctx, alarms: readonly T[]): T[] {
  const foreign = alarms.filter(({ alarmId }) => alarmCatalogue.get(alarmId)?.raisedBy === 'controller')
  if (foreign.length > 0) ctx.log.write('warn', 'alarm.not-a-sites', { count: foreign.length, site: foreign[0]!.site, alarmId: foreign[0]!.alarmId, requestId: ctx.requestId })
  return foreign.length === 0 ? [...alarms] : alarms.filter((each) => !foreign.includes(each))
}

/** What is said by site: 0 site, 1 incarnation, 2 alarms of 0 sequence, 1 alarm id, 2 entity, 3 severity, 4 text, 5 since by the site's clock, 6 said by itself. */
function sayRows({ nowMs }: Ctx, alarms: readonly (Said & { single: boolean })[]): string {
  const believable = (sinceMs: number | undefined): number | null => (sinceMs !== undefined && sinceMs > nowMs - sinceBackMs && sinceMs < nowMs + sinceAheadMs ? sinceMs : null)
  const sites = Map.groupBy(alarms, ({ site, incarnation }) => `${site}/${incarnation}`)
  return JSON.stringify([...sites.values()].map((said) => [
    said[0]!.site, said[0]!.incarnation, said.map(({ seq, alarmId, entity, severity, text, sinceMs, single }) => [seq, alarmId, entity, severity, text, believable(sinceMs), single ? 1 : 0]),
  ]))
}

/** The sequence with which site `s` said last what stands there: by itself, or with one of its newest metrics. */
function newestSnapshot({ nowMs }: Ctx): string {
  const slots = [0, 1, 2].map((back) => slotOf(nowMs - back * limits.metricBlockMs))
  return `max(iif(s.standing_incarnation = s.incarnation, s.standing_seq, 0), coalesce((SELECT max(m.seq) FROM metric_block m WHERE m.site_id = s.id AND m.slot IN (${slots.join(', ')}) AND m.incarnation = s.incarnation), 0))`
}

/** Sites of rows like [site, incarnation, more], as they are enrolled now. */
const speaking = (ctx: Ctx): string => `speaking AS MATERIALIZED (
  SELECT s.id AS site_id, s.protocol_max, s.incarnation, ${newestSnapshot(ctx)} AS newest, j.value AS row FROM json_each(?) AS j CROSS JOIN site s
  WHERE s.id = j.value->>0 AND s.incarnation = j.value->>1 AND s.state = 'enrolled')`

/** Rows as `sayRows` makes them, without what was said before the newest snapshot. */
const said = (ctx: Ctx): string => `${speaking(ctx)}, said AS MATERIALIZED (
  SELECT p.site_id, p.protocol_max, p.incarnation, e.value->>0 AS seq, e.value->>1 AS alarm_id, e.value->>2 AS entity, e.value->>3 AS severity, e.value->>4 AS text, e.value->>5 AS site_ms, e.value->>6 AS repeat, NULL AS gating
  FROM speaking p CROSS JOIN json_each(p.row->2) AS e WHERE e.value->>0 >= p.newest OR e.value->>1 IN (${onceIds}))`

const joined = 'LEFT JOIN alarm a ON a.site_id = said.site_id AND a.alarm_id = said.alarm_id AND a.entity = said.entity'
/** What the controller itself found out and still stands (190.001) is not a site's to change, though it may raise the like of it. */
const isNewer = "((a.incarnation, a.seq) < (said.incarnation, said.seq) AND NOT (a.source = 'controller' AND a.cleared_ms IS NULL))"

/**
 * Alarms that a site says have ended. One that comes and goes too often stays; a site that sends snapshots settles it with one, for another its end is noted.
 * What has cleared before, or was never heard of, only learns the sequence.
 */
function clearStatements(ctx: Ctx, rows: string): Statement[] {
  return [
    {
      sql: `WITH ${said(ctx)}, kept AS MATERIALIZED (SELECT site_id, (SELECT count(*) FROM (SELECT 1 FROM alarm k WHERE k.site_id = x.site_id LIMIT ${clearedUnknownMax})) AS n FROM (SELECT DISTINCT site_id FROM said) AS x)
            INSERT INTO alarm (site_id, alarm_id, entity, severity, text, gating, raised_ms, cleared_ms, seq, source, incarnation, changed_ms, changed_by)
            SELECT said.site_id, said.alarm_id, said.entity, said.severity, said.text, 0, ?, ?, said.seq, 'site', said.incarnation, ?, 'site:' || said.site_id
            FROM said JOIN kept ON kept.site_id = said.site_id ${joined}
            WHERE (a.site_id IS NULL AND kept.n < ${clearedUnknownMax}) OR (${isNewer} AND NOT (a.cleared_ms IS NULL AND ${isFlapping('a')}))
            ON CONFLICT (site_id, alarm_id, entity) DO UPDATE SET seq = excluded.seq, incarnation = excluded.incarnation, silenced = 0, withheld = 0, cleared_ms = coalesce(alarm.cleared_ms, excluded.cleared_ms),
              changed_ms = CASE WHEN alarm.cleared_ms IS NULL THEN excluded.changed_ms ELSE alarm.changed_ms END,
              changed_by = CASE WHEN alarm.cleared_ms IS NULL THEN excluded.changed_by ELSE alarm.changed_by END,
              note = CASE WHEN alarm.cleared_ms IS NULL THEN '' ELSE alarm.note END`,
      args: [rows, ctx.nowMs, ctx.nowMs, ctx.nowMs, ctx.nowMs],
    },
    {
      sql: `WITH ${said(ctx)} UPDATE alarm AS a SET withheld = 1, seq = said.seq, incarnation = said.incarnation FROM said
            WHERE a.site_id = said.site_id AND a.alarm_id = said.alarm_id AND a.entity = said.entity AND a.cleared_ms IS NULL AND ${isNewer} AND coalesce(said.protocol_max, 1) < 2`,
      args: [rows],
    },
  ]
}

/** What functions from before there were sources took from a site has none, and the sequence of its report. */
const saidBySite = "(alarm.source = 'site' OR (alarm.source = 'tool' AND alarm.incarnation = 0 AND alarm.seq > 0))"

/** What a site raised before its snapshot and is not among what stands there. */
function clearAbsentStatement(ctx: Ctx, standing: readonly { site: string; incarnation: number; seq: number; alarms: readonly Said[] }[]): Statement {
  const rows = JSON.stringify(standing.map(({ site, incarnation, seq, alarms }) => [site, incarnation, seq, alarms.map(({ alarmId, entity }) => `${alarmId}/${entity}`)]))
  return {
    sql: `WITH ${speaking(ctx)}, snapshot AS MATERIALIZED (SELECT p.site_id, p.incarnation, p.row->>2 AS seq, p.row->3 AS stands FROM speaking p WHERE p.row->>2 >= p.newest)
          UPDATE alarm INDEXED BY alarm_standing_site
          SET cleared_ms = ?, silenced = 0, withheld = 0, changed_ms = ?, changed_by = 'site:' || alarm.site_id, note = '', seq = snapshot.seq, incarnation = snapshot.incarnation FROM snapshot
          WHERE alarm.site_id = snapshot.site_id AND alarm.cleared_ms IS NULL AND ${saidBySite} AND alarm.alarm_id NOT IN (${onceIds})
            AND (alarm.incarnation, alarm.seq) < (snapshot.incarnation, snapshot.seq) AND NOT ${isFlapping('alarm')}
            AND alarm.site_id || '/' || alarm.alarm_id || '/' || alarm.entity NOT IN (SELECT each.site_id || '/' || e.value FROM snapshot AS each CROSS JOIN json_each(each.stands) AS e)`,
    args: [rows, ctx.nowMs, ctx.nowMs, ctx.nowMs],
  }
}

/** How many more alarms site `x` may raise; takes the beginning of the window in which changes are counted. The alarm that says that there are too many takes no room. */
const roomAt = `min(
  ${limits.alarmsPerSiteMax} - (SELECT count(*) FROM alarm t INDEXED BY alarm_standing_site WHERE t.site_id = x.site_id AND t.cleared_ms IS NULL AND t.alarm_id <> '${alarmIds.tooMany}'),
  ${limits.alarmChangesPerSiteMax} - (SELECT count(*) FROM (SELECT 1 FROM alarm_event v INDEXED BY alarm_event_site WHERE v.site_id = x.site_id AND v.at_ms > ? LIMIT ${limits.alarmChangesPerSiteMax})))`

/** Raises what sites say stands, the worst first while there is room; how many found none is an alarm itself. */
function raiseStatements(ctx: Ctx, rows: string): Statement[] {
  const raise = raiseStatement(ctx, {
    sql: `WITH ${said(ctx)}, news AS MATERIALIZED (
            SELECT said.*, a.site_id IS NOT NULL AND a.cleared_ms IS NULL AS stands FROM said ${joined} WHERE (a.site_id IS NULL OR ${isNewer}) AND (said.repeat = 1 OR ${isNews('said', 'a')})),
          room AS MATERIALIZED (SELECT site_id, ${roomAt} AS n FROM (SELECT DISTINCT site_id FROM news WHERE stands = 0) AS x),
          ranked AS (SELECT news.*, row_number() OVER (PARTITION BY site_id, stands ORDER BY ${rankOf('severity')}, alarm_id, entity) AS place FROM news)
          SELECT n.site_id, n.alarm_id, n.entity, n.severity, n.text, n.gating, 'site' AS source, 'site:' || n.site_id AS changed_by, n.incarnation, n.seq, n.site_ms, n.repeat
          FROM ranked n WHERE n.stands = 1 OR n.alarm_id = '${alarmIds.tooMany}' OR n.place <= (SELECT room.n FROM room WHERE room.site_id = n.site_id)`,
    args: [rows, ctx.nowMs, ctx.nowMs - limits.alarmFlapWindowMs],
  })
  const excess = raiseConditions(ctx, {
    sql: `WITH ${said(ctx)} SELECT said.site_id, '${alarmIds.tooMany}' AS alarm_id, 'site' AS entity, 'major' AS severity, count(*) || ' more were raised than are kept' AS text
          FROM said ${joined} WHERE a.site_id IS NULL OR (a.cleared_ms IS NOT NULL AND ${isNewer}) GROUP BY said.site_id`,
    args: [rows],
  })
  return [raise, ...excess]
}

/** Sites where the controller found too many, and there is room again. */
const sitesWithRoom = ({ nowMs }: Ctx, sites: readonly string[]): Statement => ({
  sql: `SELECT x.site_id, x.alarm_id, x.entity FROM json_each(?) AS j CROSS JOIN alarm x
        WHERE x.site_id = j.value AND x.alarm_id = '${alarmIds.tooMany}' AND x.entity = 'site' AND x.cleared_ms IS NULL AND x.source = 'controller' AND ${roomAt} > 0`,
  args: [JSON.stringify(sites), nowMs - limits.alarmFlapWindowMs],
})
