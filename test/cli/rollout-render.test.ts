import { describe, expect, test } from 'vitest'
import { planText } from '../../cli/rollout/plan-text.ts'
import { judgeEnd } from '../../cli/watch/judge-end.ts'
import { bar } from '../../cli/watch/bar.ts'
import { renderChanges, renderRollout } from '../../cli/watch/render.ts'
import { createScreen } from '../../cli/watch/screen.ts'
import { DeploymentView, RolloutPlan, RolloutView, type WaveView } from '../../protocol/http/rollouts.ts'

const at = (minute: number): string => new Date(Date.UTC(2026, 5, 1, 12, minute)).toISOString()
const nowMs = Date.parse(at(10))
const id = `ro_${'0'.repeat(26)}`

const wave = (name: string, more: Partial<WaveView> = {}): WaveView => ({ ordinal: 0, name, state: 'waiting', members: 1, counts: { pending: 1 }, barrier: false, successThreshold: 0.9, approvedBy: null, openedAt: null, lastSuccessAt: null, waitingFor: [], ...more })

const view = (more: object = {}): RolloutView => RolloutView.parse({
  id, name: 'warm colours', target: { release: 'sign@1.1.0' }, selector: { all: true }, policy: {}, state: 'running', pauses: [], members: 10,
  counts: { succeeded: 1, running: 1, 'needs-hands': 1, pending: 7 },
  waves: [
    wave('canary', { state: 'done', counts: { succeeded: 1 } }),
    wave('ramp', { state: 'open', members: 4, counts: { running: 1, 'needs-hands': 1, pending: 2 }, waitingFor: [{ code: 'threshold', text: '0 of 4 have succeeded', endsAt: null, endsBy: null }] }),
    wave('rest', { members: 5, counts: { pending: 5 }, waitingFor: [{ code: 'wave', text: 'its turn has not come', endsAt: null, endsBy: null }] }),
  ],
  abort: null, parkedUntil: null, createdBy: 'token:ci', createdAt: at(0), startedAt: at(1), endedAt: null, requestId: 'r', version: 3, ...more,
})

const deployment = (site: string, more: object): DeploymentView => DeploymentView.parse({
  rollout: id, site, wave: 'ramp', group: '', state: 'running', attempt: 1, from: null, to: null, phase: 'staging', bytesDone: 0, bytesTotal: 0, nodesDone: 0, nodesTotal: 0,
  why: '', fault: null, grantedAt: at(5), startedAt: at(8), endedAt: null, deadlineAt: null, updatedAt: at(9), ...more,
})

describe('a rollout on a terminal', () => {
  test('shows a line and a bar for each wave, and each site in flight with what it does', () => {
    const inFlight = [
      deployment('hill-17', { bytesDone: 1_500_000, bytesTotal: 3_000_000 }),
      deployment('dale-2', { state: 'needs-hands', phase: 'ended', attempt: 2, nodesDone: 1, nodesTotal: 3, fault: { code: 'x', detail: 'disk is broken' } }),
    ]
    expect(renderRollout(view(), inFlight, nowMs)).toEqual([
      'warm colours  → sign@1.1.0  running  10 sites  9m',
      '  canary done    ████████████████████████ 100%  1 succeeded',
      '  ramp   open    ························   0%  2 pending, 1 running, 1 needs-hands',
      '    next wave waits: 0 of 4 have succeeded',
      '  rest   waiting ························   0%  5 pending',
      '  in flight:',
      '    hill-17  staging      █████····· 1.5 MB of 3.0 MB  2m',
      '    dale-2   ended        1 of 3 nodes  attempt 2  2m  disk is broken',
    ])
  })

  test('says first why it stands still', () => {
    const lines = renderRollout(view({ pauses: [{ reason: 'threshold', detail: '3 of 10 failed' }], abort: { mode: 'revert', inFlight: 2, acknowledged: 1 } }), [], nowMs)
    expect(lines.slice(0, 3)).toEqual(['warm colours  → sign@1.1.0  running, paused  10 sites  9m', '  paused (threshold): 3 of 10 failed', '  aborting (revert): 2 sites in flight, 1 acknowledged'])
  })

  test('never passes on what a terminal would obey (F71)', () => {
    const lines = renderRollout(view({ name: 'evil\x1b[2J\u202e\nname' }), [], nowMs)
    expect(lines[0]).toContain('evil [2J  name')
  })

  test('is drawn over the lines that were there, cut to the window', () => {
    let written = ''
    const screen = createScreen({ out: (text) => void (written += text), terminal: () => ({ columns: 8, rows: 3 }) })
    screen.draw(['one', 'a long line', 'three'])
    expect(written).toBe('\x1b[2Kone\n\x1b[2Ka long…\n\x1b[J')
    written = ''
    screen.draw(['two'])
    expect(written).toBe('\x1b[2A\x1b[2Ktwo\n\x1b[J')
  })

  test('has bars that are exact to an eighth of a cell', () => {
    expect([bar(0, 4), bar(0.5, 4), bar(1, 4), bar(1.7, 4), bar(1 / 32, 4)]).toEqual(['····', '██··', '████', '████', '▏···'])
  })
})

describe('a rollout in a log', () => {
  test('is one line for each change, and none when nothing changed', () => {
    expect(renderChanges(null, view())).toEqual([
      'warm colours → sign@1.1.0: 10 sites in 3 waves', 'the rollout is running', 'wave canary is done', 'wave canary: 1 succeeded', 'wave ramp is open', 'wave ramp: 2 pending, 1 running, 1 needs-hands',
    ])
    expect(renderChanges(view(), view())).toEqual([])
    const paused = view({ pauses: [{ reason: 'operator', detail: 'lunch' }] })
    expect([renderChanges(view(), paused), renderChanges(paused, view())]).toEqual([['paused (operator: lunch)'], ['resumed']])
    const approval = { code: 'approval', text: 'wave ramp waits for approval', endsAt: null, endsBy: 'a person' }
    const waiting = view({ waves: [wave('ramp', { state: 'done', counts: { succeeded: 1 }, waitingFor: [approval] })] })
    expect(renderChanges(waiting, waiting)).toEqual([])
    expect(renderChanges(null, waiting).at(-1)).toBe('wave ramp: the next wave waits: wave ramp waits for approval (ended by a person)')
  })
})

describe('the end of a watch', () => {
  const exit = (more: object, stay = false): string | null => judgeEnd(view(more), stay)?.exit ?? null

  test('counts as ok only when every site that was not skipped succeeded', () => {
    expect(exit({ state: 'completed', counts: { succeeded: 9, skipped: 1 } })).toBe('ok')
    expect(exit({ state: 'completed', counts: { succeeded: 9, parked: 1 } })).toBe('parked')
    for (const state of ['failed', 'rolled-back', 'timed-out', 'unknown', 'needs-hands', 'cancelled']) expect(exit({ state: 'completed', counts: { succeeded: 9, [state]: 1 } })).toBe('rollout-failed')
    expect(exit({ state: 'aborted' })).toBe('rollout-failed')
    expect(exit({ state: 'superseded' })).toBe('rollout-failed')
  })

  test('comes when a person is needed and no site is in flight, unless the watcher stays', () => {
    const pauses = [{ reason: 'failures', detail: 'canary failed' }]
    expect(exit({ pauses })).toBeNull()
    expect(exit({ pauses, counts: { failed: 1, pending: 9 } })).toBe('waits-for-person')
    expect(exit({ pauses, counts: { failed: 1, pending: 9 } }, true)).toBeNull()
    expect(exit({ counts: { succeeded: 9, 'needs-hands': 1 } })).toBe('waits-for-person')
    const approval = { code: 'approval', text: 'waits', endsAt: null, endsBy: null }
    expect(exit({ counts: { succeeded: 1, pending: 9 }, waves: [wave('canary', { state: 'done', waitingFor: [approval] }), wave('rest')] })).toBe('waits-for-person')
    expect(exit({ counts: { succeeded: 1, pending: 9 }, waves: [wave('canary', { state: 'done', waitingFor: [approval, { ...approval, code: 'soak' }] }), wave('rest')] })).toBeNull()
  })
})

test('a plan says what would happen, to whom, what would not, and what cannot be undone', () => {
  const plan = RolloutPlan.parse({
    name: 'warm colours', target: 'sign@1.1.0', members: 9, maxParallel: 2,
    waves: [{ name: 'canary', sites: ['a'], barrier: true, successThreshold: 1, soakMs: 3_600_000, approval: true }, { name: 'rest', sites: ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'], barrier: false, successThreshold: 0.9, soakMs: 0, approval: false }],
    groups: [{ group: 'north', members: 5, maxParallel: 1 }],
    skipped: [{ site: 'x', why: 'it already runs sign@1.1.0' }, { site: 'y', why: 'it already runs sign@1.1.0' }],
    blocked: [{ site: 'b', blockers: [{ code: 'offline', text: 'the site is offline', endsAt: null, endsBy: null }] }],
    cannotBeUndone: [{ release: 'sign@1.1.0', components: ['schema'], sites: 9 }], bytes: { perSiteMax: 1500, total: 13_500 },
    expected: { perSiteMs: 60_000, basis: 'the last 20', endsAt: at(20) }, warnings: ['one site is alone in its region'],
  })
  expect(planText(plan)).toBe(`warm colours: sign@1.1.0 to 9 sites, at most 2 at once
  canary: 1 site (a); 100% must succeed, all must have ended, soaks 1h, a person approves
  rest: 8 sites (b, c, d, e, f and 3 more); 90% must succeed
at most, in each group:
  north: 1 of 5 sites
skipped (2):
  2 sites: x, y: it already runs sign@1.1.0
would not start now (1):
  b: the site is offline
cannot be undone:
  sign@1.1.0: schema, at 9 sites
bytes: at most 1.5 kB a site, 13.5 kB in all
expected end: 2026-06-01 12:20:00Z, at 1m a site (the last 20)
warning: one site is alone in its region
`)
})
