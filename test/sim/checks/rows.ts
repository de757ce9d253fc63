import type { Database } from '../../../db/client.ts'
import type { RolloutPolicy, WavePolicy } from '../../../protocol/policy.ts'
import type { DeploymentState, RolloutState, Severity, WaveState } from '../../../protocol/states.ts'

export type DeploymentFacts = { rollout: string; site: string; wave: number; grp: string; state: DeploymentState; attempt: number; seq: number; seqIncarnation: number; grantedMs: number | null }
export type WaveFacts = { rollout: string; ordinal: number; state: WaveState; policy: WavePolicy; lastSuccessMs: number | null; approvedBy: string | null }
/** `alarmPause`: what it says of the alarm it paused over, null when it did not. */
export type RolloutFacts = { id: string; state: RolloutState; pauses: number; alarmPause: string | null; policy: RolloutPolicy }
export type AlarmFacts = { site: string; alarmId: string; entity: string; severity: Severity; source: string; raisedMs: number; isStanding: number; isAcknowledged: number; isShelved: number; isSilenced: number }
export type SiteFacts = { id: string; state: string; incarnation: number; presence: string; connection: string | null; helloSeq: number; runningSeq: number; running: string | null; attempt: string | null }
export type AuditFacts = { seq: number; entity: string; site: string | null; action: string }
/** What checkers look at of the database, straight from its tables. */
export type Rows = {
  deployments: Map<string, DeploymentFacts>
  waves: Map<string, WaveFacts>
  rollouts: Map<string, RolloutFacts>
  sites: Map<string, SiteFacts>
  counters: Map<string, number>
  alarms: AlarmFacts[]
  /** Sites and alarms as the database counts them, by kind and key. */
  tally: Map<string, number>
  audit: AuditFacts[]
}

export const emptyRows = (): Rows => ({ deployments: new Map(), waves: new Map(), rollouts: new Map(), sites: new Map(), counters: new Map(), alarms: [], tally: new Map(), audit: [] })

/** Policies never change once stored: parsed once. */
const parsed = new Map<string, unknown>()
function parse<T>(key: string, text: string): T {
  if (!parsed.has(key)) parsed.set(key, JSON.parse(text))
  return parsed.get(key) as T
}

/** Reads everything that the checkers need, in one batch beside the invocations that are under way. */
export async function readRows(db: Database, auditAfter: number): Promise<Rows> {
  const queries = [
    'SELECT rollout_id AS rollout, site_id AS site, wave, grp, state, attempt, seq, seq_incarnation AS seqIncarnation, granted_ms AS grantedMs FROM deployment',
    'SELECT rollout_id AS rollout, ordinal, state, policy, last_success_ms AS lastSuccessMs, approved_by AS approvedBy FROM wave',
    "SELECT id, state, json_array_length(pauses) AS pauses, (SELECT value->>'detail' FROM json_each(pauses) WHERE value->>'reason' = 'alarm') AS alarmPause, policy FROM rollout",
    'SELECT id, state, incarnation, presence, connection_id AS connection, hello_seq AS helloSeq, running_seq AS runningSeq, running, attempt FROM site',
    'SELECT rollout_id, wave, grp, state, n FROM counter',
    `SELECT seq, entity, site_id AS site, action FROM audit WHERE seq > ${auditAfter} ORDER BY seq`,
    `SELECT site_id AS site, alarm_id AS alarmId, entity, severity, source, max(raised_ms, gating_ms) AS raisedMs, cleared_ms IS NULL AS isStanding, acknowledged_ms IS NOT NULL AS isAcknowledged,
      shelved_until_ms IS NOT NULL AS isShelved, silenced AS isSilenced FROM alarm`,
    'SELECT kind, key, n FROM tally WHERE n <> 0',
  ]
  const results = await db.write(queries.map((sql) => ({ sql, args: [] })))
  const list = <T>(i: number): T[] => results[i]!.rows.map((row) => ({ ...row })) as T[]
  const rows = emptyRows()
  for (const d of list<DeploymentFacts>(0)) rows.deployments.set(`${d.rollout}:${d.site}`, d)
  for (const w of list<WaveFacts & { policy: string }>(1)) rows.waves.set(`${w.rollout}/${w.ordinal}`, { ...w, policy: parse(`${w.rollout}/${w.ordinal}`, w.policy as unknown as string) })
  for (const r of list<RolloutFacts & { policy: string }>(2)) rows.rollouts.set(r.id, { ...r, policy: parse(r.id, r.policy as unknown as string) })
  for (const s of list<SiteFacts>(3)) rows.sites.set(s.id, s)
  for (const c of results[4]!.rows) rows.counters.set(`${String(c.rollout_id)}/${String(c.wave)}/${String(c.grp)}/${String(c.state)}`, Number(c.n))
  rows.audit = list<AuditFacts>(5)
  rows.alarms = list<AlarmFacts>(6)
  for (const t of results[7]!.rows) rows.tally.set(`${String(t.kind)}/${String(t.key)}`, Number(t.n))
  return rows
}
