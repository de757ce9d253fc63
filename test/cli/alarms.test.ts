import { describe, expect, test } from 'vitest'
import type { AlarmView } from '../../protocol/http/alarms.ts'
import { madeUpController, murmurAlone, testIo, type Ended } from './command.support.ts'

const at = (minute: number): string => new Date(Date.UTC(2026, 5, 1, 11, minute)).toISOString()
const filesystem = 'node=node-1.filesystem=/var'

const alarm = (more: Partial<Record<keyof AlarmView, unknown>> = {}) => ({
  site: 'harbour', alarmId: '100.003', entity: filesystem, severity: 'critical', text: '/var is 96 % full (level 95 %)', state: 'active', source: 'site', gating: true, flapping: false,
  raisedAt: at(30), changedAt: at(30), clearedAt: null, siteTime: null, acknowledged: null, shelved: null,
  catalogue: { name: 'Filesystem full', meaning: 'A filesystem is fuller than it may be.', probableCause: 'storage-capacity-problem', repair: 'Remove what is not needed.' }, ...more,
})
const hostile = alarm({ site: 'dale', alarmId: '9.9', entity: 'x\x1b]0;owned\x07', severity: 'minor', text: 'a\nb\x1b[2J\u202e<script>', gating: false, catalogue: null, flapping: true })

const run = (args: string[], routes: Record<string, unknown>, more: Parameters<typeof testIo>[1] = {}) => {
  const { fetch, asked } = madeUpController(routes)
  return murmurAlone(['--url', 'http://controller.test', ...args], testIo('/', { fetch, ...more })).then((ended): Ended & { asked: typeof asked } => ({ ...ended, asked }))
}
const listed = (...items: unknown[]) => ({ 'GET /v1/alarms': { items, next: null } })

describe('standing alarms', () => {
  test('are a table with how many of which severity at its end', async () => {
    const { out, err } = await run(['alarm', 'list'], listed(alarm(), alarm({ severity: 'major', state: 'acknowledged' }), alarm({ severity: 'major' })))
    expect(out.split('\n').slice(0, 3)).toEqual([
      'SITE     ALARM    ENTITY                       SEVERITY  GATING  STATE         FOR  TEXT',
      'harbour  100.003  node=node-1.filesystem=/var  critical  yes     active        30m  /var is 96 % full (level 95 %)',
      'harbour  100.003  node=node-1.filesystem=/var  major     yes     acknowledged  30m  /var is 96 % full (level 95 %)',
    ])
    expect(err).toBe('3 alarms: 1 critical, 2 major\n')
    expect(await run(['alarm', 'list'], listed())).toMatchObject({ out: '', err: 'no alarms that ask for attention; --all shows the others too\n', code: 0 })
  })

  test('whatever a site says in them, nothing that a terminal would obey gets there, one line each (F71)', async () => {
    for (const args of [['alarm', 'list'], ['alarm', 'list', '-o', 'wide']]) {
      const { out } = await run(args, listed(hostile))
      expect(out.replaceAll('\n', '')).not.toMatch(/\p{C}/u)
      expect(out.split('\n')).toHaveLength(3)
      expect(out).toContain('a b [2J <script>')
    }
    const shown = await run(['alarm', 'show', 'dale', '9.9', 'x'], { 'GET /v1/alarms/one': hostile })
    expect(shown.out.replaceAll('\n', '')).not.toMatch(/\p{C}/u)
    expect(shown.out).toContain('not in the catalogue')
  })

  test('are what programs read, as they came, with -o json, and names with -o name', async () => {
    expect(JSON.parse((await run(['alarm', 'list', '-o', 'json'], listed(hostile))).out)).toEqual([hostile])
    expect(await run(['alarm', 'list', '-o', 'name'], listed(alarm()))).toMatchObject({ out: `harbour/100.003/${filesystem}\n`, err: '' })
  })

  test('have colours for their severity on a terminal only, and not for who wants none', async () => {
    const terminal = () => ({ columns: 120, rows: 40 })
    expect((await run(['alarm', 'list'], listed(alarm()), { terminal })).out).toContain('\x1b[31mcritical\x1b[0m  yes')
    expect((await run(['alarm', 'list'], listed(alarm()), { terminal, env: { NO_COLOR: '1' } })).out).not.toContain('\x1b')
    expect((await run(['alarm', 'list', '-o', 'json'], listed(alarm()), { terminal })).out).not.toContain('\x1b')
  })

  test('are filtered by the controller, page by page', async () => {
    const routes = { 'GET /v1/alarms': ({ query }: { query: Record<string, string> }) => (query['cursor'] === undefined ? { items: [], next: 'there' } : { items: [alarm()], next: null }) }
    const { asked, out } = await run(['alarm', 'list', '--site', '_fleet', '--alarm', '300.001', '--severity', 'major', '--no-gating', '-l', 'region=north', '--all', '-o', 'name'], routes)
    expect(asked.map(({ query }) => query)).toEqual([
      { site: '_fleet', alarmId: '300.001', severity: 'major', gating: 'false', labelSelector: 'region=north', all: 'true', limit: '500' },
      expect.objectContaining({ cursor: 'there', all: 'true' }),
    ])
    expect(out).toContain('harbour')
    expect(await run(['alarm', 'list', '-l', 'a b c'], {})).toMatchObject({ code: 2, asked: [] })
  })
})

test('one alarm is shown with what it means and what to do', async () => {
  const acknowledged = { at: at(40), by: 'token:jo', note: 'on it' }
  const { out, asked } = await run(['alarm', 'show', 'harbour', '100.003', filesystem], { 'GET /v1/alarms/one': alarm({ acknowledged, state: 'acknowledged', siteTime: at(29) }) })
  expect(asked[0]!.query).toEqual({ site: 'harbour', alarmId: '100.003', entity: filesystem })
  expect(out).toBe(`alarm        100.003 Filesystem full
site         harbour
entity       node=node-1.filesystem=/var
severity     critical, keeps rollouts from going on
state        acknowledged
text         /var is 96 % full (level 95 %)
raised       2026-06-01 11:30:00Z, 30m ago, by the site
site says    it began at 2026-06-01 11:29:00Z
acknowledged 2026-06-01 11:40:00Z by token:jo: on it
meaning      A filesystem is fuller than it may be.
cause        storage capacity problem
what to do   Remove what is not needed.
`)
})

test('an alarm is acknowledged, shelved, taken back, raised and cleared by its name', async () => {
  const identity = { site: 'harbour', alarmId: '100.003', entity: filesystem }
  const name = Object.values(identity)
  const answer = alarm()
  const bodyOf = async (args: string[], path: string, value: unknown = answer) => (await run(['alarm', ...args], { [`POST ${path}`]: value })).asked[0]!.body
  expect(await bodyOf(['ack', ...name, '--note', 'on it'], '/v1/alarms/acknowledge')).toEqual({ ...identity, note: 'on it' })
  expect(await bodyOf(['shelve', ...name, '--for', '4h', '--reason', 'a new disk comes'], '/v1/alarms/shelve')).toEqual({ ...identity, duration: 4 * 3_600_000, reason: 'a new disk comes' })
  expect(await bodyOf(['unshelve', ...name], '/v1/alarms/unshelve')).toEqual(identity)
  expect(await bodyOf(['raise', ...name, 'full', '--severity', 'minor'], '/v1/alarms')).toEqual({ ...identity, text: 'full', severity: 'minor' })
  expect(await bodyOf(['raise', ...name, 'full', '--no-gating'], '/v1/alarms')).toMatchObject({ severity: 'major', gating: false })
  expect(await bodyOf(['clear', ...name, '--reason', 'mended'], '/v1/alarms/clear', { cleared: true })).toEqual({ ...identity, reason: 'mended' })
  expect(await run(['alarm', 'clear', ...name], { 'POST /v1/alarms/clear': { cleared: false } })).toMatchObject({ code: 0, err: 'it did not stand\n' })
  for (const args of [['shelve', ...name, '--for', '4h'], ['shelve', ...name, '--reason', 'x'], ['shelve', ...name, '--for', 'long', '--reason', 'x'], ['ack', 'harbour', '100.003'], ['raise', 'harbour', 'disk', 'e', 't']]) expect((await run(['alarm', ...args], {})).code, args.join(' ')).toBe(2)
})

test('history is what happened, newest first, as far back as was asked', async () => {
  const event = { seq: 7, at: at(30), site: 'harbour', alarmId: '100.003', entity: filesystem, change: 'raised', severity: 'critical', text: 'full', silenced: true, by: 'site', note: '' }
  const { out, asked } = await run(['alarm', 'history', '--site', 'harbour', '--since', '24h'], { 'GET /v1/alarm-events': { items: [event, { ...event, change: 'acknowledged', by: 'token:jo', note: 'on it', silenced: false }], next: 'more' } })
  expect(asked.map(({ query }) => query)[0]).toEqual({ site: 'harbour', from: '2026-05-31T12:00:00.000Z', limit: '50' })
  expect(out).toMatch(/2026-06-01 11:30:00Z +raised \(silent\) +harbour +100\.003 .* critical +site +full\n.* acknowledged .* token:jo +on it\n/)
  expect((await run(['alarm', 'history', '--from', 'yesterday'], {})).code).toBe(2)
})

test('the summary says what there is, and of alarms only what stands', async () => {
  const nothing = { active: 0, acknowledged: 0, shelved: 0, silenced: 0 }
  const summary = { sites: { online: 97, offline: 2, unknown: 0, suspect: 1, claimed: 3 }, alarms: { critical: { ...nothing, active: 1, shelved: 2 }, major: nothing, minor: { ...nothing, active: 5 }, warning: nothing } }
  expect((await run(['summary'], { 'GET /v1/summary': summary })).out).toBe('sites        100 (97 online, 2 offline, 1 suspect), and 3 not enrolled yet\ncritical     1 active, 2 shelved\nminor        5 active\n')
  expect((await run(['summary'], { 'GET /v1/summary': { ...summary, alarms: { critical: nothing, major: nothing, minor: nothing, warning: nothing } } })).out).toMatch(/\nalarms +none\n$/)
  expect(JSON.parse((await run(['summary', '-o', 'json'], { 'GET /v1/summary': summary })).out)).toEqual(summary)
})
