import { describe, expect, test } from 'vitest'
import { cronFault, localToInstantMs, startBlocker, type StartRules } from '../../functions/rollout/schedule.ts'

const at = (instant: string): number => Date.parse(instant)
const rules = (changes: Partial<StartRules> = {}): StartRules => ({ timeZone: 'Europe/Berlin', windows: [], freezes: [], ...changes })
const free = { windows: [], freezes: [] }
const blocked = (given: Partial<StartRules>, instant: string, policy: Pick<StartRules, 'windows' | 'freezes'> = free) => {
  const blocker = startBlocker(rules(given), policy, at(instant))
  return blocker === null ? null : [blocker.code, new Date(blocker.untilMs).toISOString()]
}
const nightly = { windows: [{ cron: '0 2 * * *', duration: 2 * 3_600_000 }] }

describe('windows', () => {
  test.each([
    ['before it', '2026-06-01T23:59:59Z', ['window', '2026-06-02T00:00:00.000Z']],
    ['at its first moment', '2026-06-02T00:00:00Z', null],
    ['inside it', '2026-06-02T01:30:00Z', null],
    ['at its last moment', '2026-06-02T01:59:59.999Z', null],
    ['once it is over', '2026-06-02T02:00:00Z', ['window', '2026-06-03T00:00:00.000Z']],
    ['in winter, an hour later by UTC', '2026-12-02T00:30:00Z', ['window', '2026-12-02T01:00:00.000Z']],
    ['in winter, inside it', '2026-12-02T01:00:00Z', null],
  ])('a nightly one from 2 to 4 in Berlin: %s', (_, instant, expected) => {
    expect(blocked(nightly, instant)).toEqual(expected)
  })

  test.each([
    ['Asia/Kolkata', '2026-06-01T20:30:00Z'],
    ['America/St_Johns', '2026-06-02T04:30:00Z'],
    ['Pacific/Chatham', '2026-06-01T13:15:00Z'],
    ['UTC', '2026-06-02T02:00:00Z'],
  ])('are read in the zone of the site: %s', (timeZone, opens) => {
    expect(blocked({ ...nightly, timeZone }, opens)).toBeNull()
    expect(blocked({ ...nightly, timeZone }, new Date(at(opens) - 1).toISOString())).toEqual(['window', new Date(at(opens)).toISOString()])
  })

  test('one that begins in the hour that clocks skip still opens that night', () => {
    // 2026-03-29: 02:00 becomes 03:00 in Berlin, at 01:00 UTC
    const halfPastTwo = { windows: [{ cron: '30 2 * * *', duration: 3_600_000 }] }
    const before = startBlocker(rules(halfPastTwo), free, at('2026-03-28T23:00:00Z'))
    expect(before?.untilMs).toBeGreaterThanOrEqual(at('2026-03-29T01:00:00Z'))
    expect(before?.untilMs).toBeLessThanOrEqual(at('2026-03-29T02:00:00Z'))
    expect(startBlocker(rules(halfPastTwo), free, before!.untilMs)).toBeNull()
  })

  test('one in the hour that clocks repeat opens, and is shut once it has lasted', () => {
    // 2026-10-25: 03:00 becomes 02:00 in Berlin, at 01:00 UTC
    const half = { windows: [{ cron: '30 2 * * *', duration: 30 * 60_000 }] }
    expect(blocked(half, '2026-10-25T00:30:00Z')).toBeNull()
    expect(blocked(half, '2026-10-25T02:00:00Z')).toEqual(['window', '2026-10-26T01:30:00.000Z'])
  })

  test('one that lasts longer than its pattern repeats is always open', () => {
    const always = { windows: [{ cron: '0 * * * *', duration: 2 * 3_600_000 }] }
    for (const minute of [0, 1, 30, 59]) expect(blocked(always, `2026-06-01T12:${String(minute).padStart(2, '0')}:00Z`)).toBeNull()
  })

  test('of several of the site one that is open is enough; those of the policy are asked for besides', () => {
    const policy = { windows: [{ cron: '0 3 * * *', duration: 3_600_000 }], freezes: [] }
    const site = { windows: [...nightly.windows, { cron: '0 12 * * *', duration: 3_600_000 }] }
    expect(blocked(site, '2026-06-02T10:30:00Z')).toBeNull()
    expect(blocked(site, '2026-06-02T00:30:00Z', policy)).toEqual(['window', '2026-06-02T01:00:00.000Z'])
    expect(blocked(site, '2026-06-02T01:30:00Z', policy)).toBeNull()
  })

  test('a pattern that never matches is a fault when it is written, and blocks for ever where it is already there', () => {
    expect(cronFault('0 0 30 2 *')).toContain('never matches')
    expect(startBlocker(rules({ windows: [{ cron: '0 0 30 2 *', duration: 1000 }] }), free, at('2026-06-01T00:00:00Z'))).toMatchObject({ code: 'window', text: 'no maintenance window ever opens' })
  })

  test.each(['', '* * * *', '* * * * * *', '60 * * * *', 'a b c d e', '0 25 * * *'])('the pattern %j is refused', (pattern) => {
    expect(cronFault(pattern)).toContain('not valid')
  })

  test.each(['0 2 * * *', '*/15 22-23 * * MON-FRI', '0 2 1 * *'])('the pattern %j is taken', (pattern) => {
    expect(cronFault(pattern)).toBeNull()
  })
})

describe('freezes', () => {
  const christmas = { freezes: [{ from: '2026-12-20', to: '2027-01-02T06:00', reason: 'the shops are full' }] }

  test.each([
    ['before', '2026-12-19T22:59:59Z', null],
    ['from its first local midnight', '2026-12-19T23:00:00Z', ['freeze', '2027-01-02T05:00:00.000Z']],
    ['until its end', '2027-01-02T04:59:59Z', ['freeze', '2027-01-02T05:00:00.000Z']],
    ['after', '2027-01-02T05:00:00Z', null],
  ])('of a site in Berlin: %s', (_, instant, expected) => {
    expect(blocked(christmas, instant)).toEqual(expected)
  })

  test('of a policy hold at each site in its own zone', () => {
    const instant = '2026-12-20T00:00:00Z'
    expect(blocked({ timeZone: 'Asia/Tokyo' }, instant, { windows: [], ...christmas })).not.toBeNull()
    expect(blocked({ timeZone: 'America/New_York' }, instant, { windows: [], ...christmas })).toBeNull()
  })

  test('win over a window that is open (F35)', () => {
    expect(blocked({ ...nightly, ...christmas }, '2026-12-24T01:30:00Z')).toEqual(['freeze', '2027-01-02T05:00:00.000Z'])
  })

  test('say why they stand', () => {
    expect(startBlocker(rules(christmas), free, at('2026-12-24T01:30:00Z'))?.text).toBe('frozen until 2027-01-02T06:00 Europe/Berlin: the shops are full')
  })
})

describe('a local date as an instant', () => {
  test.each([
    ['2026-06-01', 'Europe/Berlin', '2026-05-31T22:00:00Z'],
    ['2026-12-01T12:00', 'Europe/Berlin', '2026-12-01T11:00:00Z'],
    ['2026-06-01T00:00:30', 'Asia/Kolkata', '2026-05-31T18:30:30Z'],
    ['2026-03-29T03:00', 'Europe/Berlin', '2026-03-29T01:00:00Z'],
    ['2026-10-25T04:00', 'Europe/Berlin', '2026-10-25T03:00:00Z'],
    ['2026-06-01', 'Pacific/Kiritimati', '2026-05-31T10:00:00Z'],
    ['2026-06-01', 'Pacific/Pago_Pago', '2026-06-01T11:00:00Z'],
  ])('%s in %s', (local, zone, instant) => {
    expect(new Date(localToInstantMs(local, zone)).toISOString()).toBe(new Date(at(instant)).toISOString())
  })

  test('in the hour that clocks skip lies inside the night it was meant for, and in the repeated hour is one of both', () => {
    const skipped = localToInstantMs('2026-03-29T02:30', 'Europe/Berlin')
    expect(Math.abs(skipped - at('2026-03-29T01:00:00Z'))).toBeLessThanOrEqual(3_600_000)
    expect([at('2026-10-25T00:30:00Z'), at('2026-10-25T01:30:00Z')]).toContain(localToInstantMs('2026-10-25T02:30', 'Europe/Berlin'))
  })
})
