import type { Statement } from '../../db/client.ts'
import type { Host } from '../../edge-agent/host/host.ts'
import { fromBase64, fromUtf8 } from '../../protocol/bytes.ts'
import type { Chaos } from './chaos.ts'
import type { Planted } from './fleet.ts'

/** A bug planted from outside, the invariants of which one has to notice it, and the faults without which it does no harm. */
export type Mutation = { name: string; invariants: readonly string[]; planted: Planted; chaos?: Partial<Chaos> }

/** Another text in each statement that has it: the guard of a `WHERE`, mostly. */
const edit = (change: (sql: string) => string) => (statements: readonly Statement[]): readonly Statement[] => statements.map((statement) => ({ ...statement, sql: change(statement.sql) }))

/** Runs SQL once the database is there. */
const prepare = (sql: string): Planted => ({ prepare: (fleet) => fleet.controller.db.script(sql) })

/** An agent for which no time has passed since the newest directive was issued: no grant ever seems to be past its start. */
function withoutTime(host: Host): Host {
  let issuedMs = 0
  const look = (payload: Uint8Array): void => {
    if (payload.length === 0) return
    const { payload: text } = JSON.parse(fromUtf8(payload)) as { payload: string }
    issuedMs = Math.max(issuedMs, (JSON.parse(fromUtf8(fromBase64(text))) as { issuedAtMs: number }).issuedAtMs)
  }
  const network: Host['network'] = {
    http: (request) => host.network.http(request),
    tcpConnects: (...where) => host.network.tcpConnects(...where),
    mqtt: async (options) => {
      const connection = await host.network.mqtt(options)
      return { ...connection, onMessage: (handler) => connection.onMessage((message) => {
        look(message.payload)
        handler(message)
      }) }
    },
  }
  const clock: Host['clock'] = { nowMs: () => (issuedMs === 0 ? host.clock.nowMs() : issuedMs), monotonicMs: () => host.clock.monotonicMs(), sleep: (...span) => host.clock.sleep(...span) }
  return { ...host, network, clock, facts: { ...host.facts, clockSynchronised: async () => null } }
}

/** A disk that says "synced" and lies, for paths that match. */
function withoutSync(host: Host, matches: RegExp): Host {
  const files = new Proxy(host.files, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      if (name === 'sync') return (path: string) => (matches.test(path) ? Promise.resolve() : target.sync(path))
      if (name === 'writeDurable') return (path: string, bytes: Uint8Array, mode?: number) => (matches.test(path) ? target.write(path, bytes, mode) : target.writeDurable(path, bytes, mode))
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
  return { ...host, files }
}

/** An agent that forgets at each start what it holds and what it did: nothing keeps a repeated directive from its effect. */
function forgetful(host: Host): Host {
  const forgotten = new Set<string>()
  const isFresh = (path: string): boolean => /\/(held|journal)\.[01]$/.test(path) && !forgotten.has(path)
  const files = new Proxy(host.files, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      if (name === 'facts') return (path: string) => (isFresh(path) ? Promise.resolve(null) : target.facts(path))
      if (name === 'writeDurable') {
        return async (path: string, bytes: Uint8Array, mode?: number) => {
          await target.writeDurable(path, bytes, mode)
          for (const slot of ['0', '1']) forgotten.add(path.replace(/[01]$/, slot))
        }
      }
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
  return { ...host, files }
}

/** A disk that now and then writes another byte into a node's copy of a program, after it was verified. */
function wrongCopies(host: Host): Host {
  let appends = 0
  const files = new Proxy(host.files, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      if (name === 'append') {
        return (path: string, bytes: Uint8Array) => (path.includes('/var/lib/murmur/trees/') && path.includes('/bin/') && ++appends % 3 === 0 ? target.append(path, bytes.map((byte) => byte ^ 1)) : target.append(path, bytes))
      }
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
  return { ...host, files }
}

/** Grants the next site in the queue along with each that was decided upon. */
function oneTooMany(statements: readonly Statement[]): readonly Statement[] {
  if (!statements.some(({ sql }) => /^UPDATE deployment SET state = .* granted_ms = /s.test(sql))) return statements
  const next = `SELECT d.rollout_id, d.site_id FROM deployment d WHERE d.state = 'pending' AND d.wave >= 0
    AND EXISTS (SELECT 1 FROM deployment g WHERE g.rollout_id = d.rollout_id AND g.state = 'granted') ORDER BY d.place LIMIT 1`
  return [
    ...statements,
    { sql: `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id) SELECT 0, 'nobody', 'deployment.grant', 'rollout/' || rollout_id, site_id, '', '{}', 'none' FROM (${next})`, args: [] },
    { sql: `UPDATE deployment SET state = 'granted', attempt = attempt + 1 WHERE (rollout_id, site_id) IN (${next})`, args: [] },
  ]
}

/** Pauses that do not say over what. */
const wordless = (statements: readonly Statement[]): readonly Statement[] =>
  statements.map(({ sql, args }) => ({ sql, args: args.map((arg) => (typeof arg === 'string' ? arg.replace(/"reason":"alarm","detail":"(?:[^"\\]|\\.)*"/, '"reason":"alarm","detail":""') : arg)) }))

export const mutations: readonly Mutation[] = [
  { name: 'an agent that ignores startBy', invariants: ['I6'], planted: { wrapHost: withoutTime }, chaos: { directiveLate: 0.5 } },
  { name: 'a journal that is not durable before the step', invariants: ['I1', 'I2', 'I4', 'I5', 'I6', 'I8'], planted: { wrapHost: (host) => withoutSync(host, /\/(journal|held)\.[01]$|\/var\/lib\/murmur$/) } },
  { name: 'an agent that forgets what it accepted', invariants: ['I1', 'I4', 'I5', 'I8'], planted: { wrapHost: forgetful } },
  { name: 'trees that are copied wrongly and not looked at again', invariants: ['I1', 'I2'], planted: { wrapHost: wrongCopies } },
  { name: 'a controller that does not guard reports by their number', invariants: ['I8'], planted: { rewrite: edit((sql) => sql.replace('AND site.running_seq < j.value->>2', '')) } },
  { name: 'counters that miss a move', invariants: ['I12'], planted: prepare('DROP TRIGGER deployment_moved') },
  { name: 'a will of an old connection that counts', invariants: ['I10'], planted: { rewrite: edit((sql) => sql.replace('AND site.connection_id = j.value->>2 AND', 'AND')) } },
  { name: 'a controller that grants one site too many', invariants: ['I7', 'I14'], planted: { rewrite: oneTooMany } },
  { name: 'a restore that lets rollouts go on by themselves', invariants: ['I17'], planted: { spoilRestore: (db) => db.write([{ sql: `UPDATE rollout SET pauses = '[]'`, args: [] }]) } },
  { name: 'alarms that keep no rollout from going on', invariants: ['I18'], planted: { rewrite: edit((sql) => sql.replace(/coalesce\(r\.gating, [\s\S]*? END\)/, '0')) } },
  { name: 'a pause over an alarm that is not named', invariants: ['I18'], planted: { rewrite: wordless } },
  { name: 'a site that goes away and nobody says so', invariants: ['I19'], planted: { rewrite: (statements) => statements.filter(({ sql }) => !(sql.startsWith('INSERT INTO alarm ') && sql.includes("'200.003' AS alarm_id"))) } },
  { name: 'alarms that do not clear by what a site says of all that stands', invariants: ['I19'], planted: { rewrite: (statements) => statements.filter(({ sql }) => !sql.includes('UPDATE alarm INDEXED BY alarm_standing_site')) }, chaos: { reportLost: 0.3 } },
  { name: 'counts of alarms that miss a change', invariants: ['I12'], planted: prepare('DROP TRIGGER alarm_recounted') },
  { name: 'moves without an audit entry', invariants: ['I15'], planted: { rewrite: (statements) => statements.filter((statement) => !/INSERT INTO audit .*'deployment\.'/s.test(statement.sql)) } },
]
