import { describe, expect, test } from 'vitest'
import { limits } from '../../protocol/limits.ts'
import { amountDown, amountUp, isBarrier, RolloutPolicy, RolloutRequest } from '../../protocol/policy.ts'
import { formatSpan, Freeze, Instant, Span, TimeZone } from '../../protocol/time.ts'

const wave = (name: string, size: unknown, more: Record<string, unknown> = {}) => ({ name, size, ...more })
const faultOf = (policy: unknown): string | null => {
  const parsed = RolloutPolicy.safeParse(policy)
  return parsed.success ? null : parsed.error.issues.map((issue) => issue.message).join('; ')
}

describe('amounts', () => {
  test.each([
    ['10%', 100, 10, 10],
    ['10%', 101, 11, 10],
    ['10%', 3, 1, 1],
    ['33.33%', 3, 1, 1],
    ['66.67%', 3, 3, 2],
    ['100%', 7, 7, 7],
    ['0.01%', 10, 1, 1],
    ['7%', 100, 7, 7],
    ['29%', 100, 29, 29],
    [5, 3, 5, 5],
  ] as const)('%s of %i is %i for a wave, and %i for a limit', (amount, of, up, down) => {
    expect([amountUp(amount, of), amountDown(amount, of)]).toEqual([up, down])
  })

  test('every whole percentage of a hundred is exactly itself', () => {
    for (let percent = 1; percent <= 100; percent++) expect([amountUp(`${percent}%`, 100), amountDown(`${percent}%`, 100)], `${percent}%`).toEqual([percent, percent])
  })

  test('a limit leaves at least one place, even among nobody', () => {
    expect(amountDown('1%', 0)).toBe(1)
  })

  test.each([0, -1, 1.5, '0%', '0.00%', '101%', '100.01%', '-5%', '5', '5 %', '1e1%', '05%', limits.sitesMax + 1])('%j is none', (amount) => {
    expect(faultOf({ maxParallel: amount })).not.toBeNull()
  })
})

describe('a policy', () => {
  test('left out altogether is a careful one: a canary, a ramp, the rest', () => {
    const policy = RolloutPolicy.parse({})
    expect(policy.waves.map(({ name, size, barrier, successThreshold }) => ({ name, size, barrier, successThreshold }))).toEqual([
      { name: 'canary', size: 1, barrier: true, successThreshold: 1 },
      { name: 'ramp', size: '10%', barrier: false, successThreshold: 0.9 },
      { name: 'rest', size: 'rest', barrier: false, successThreshold: 0.9 },
    ])
    expect(policy).toMatchObject({ maxParallel: '10%', failureThreshold: { value: '10%', minExecuted: 5 }, retries: 0, startWithin: 900_000, maxDuration: 3_600_000, parkedFor: 30 * 86_400_000, joiners: 'exclude' })
  })

  test.each([
    ['a wave after the rest', { waves: [wave('rest', 'rest'), wave('late', 1)] }, 'would be empty'],
    ['two waves of one name', { waves: [wave('a', 1), wave('a', 'rest')] }, 'same name'],
    ['no wave', { waves: [] }, ''],
    ['a threshold above one', { waves: [wave('a', 1, { successThreshold: 1.1 })] }, ''],
    ['a field nobody knows', { maxFailures: 3 }, 'maxFailures'],
    ['a field nobody knows in a wave', { waves: [wave('a', 1, { pause: true })] }, 'pause'],
    ['a start within no time', { startWithin: 0 }, ''],
    ['more retries than anybody needs', { retries: limits.retriesMax + 1 }, ''],
  ])('is refused with %s', (_, policy, words) => {
    expect(faultOf(policy)).toContain(words)
  })

  test('the rest of a selection may come before other waves', () => {
    expect(faultOf({ waves: [wave('labs', 'rest', { selector: { matchLabels: { kind: 'lab' } } }), wave('all', 'rest')] })).toBeNull()
  })

  test('a wave that has something to wait for is a barrier', () => {
    const [plain, soaks, approved, barrier] = RolloutPolicy.parse({ waves: [wave('a', 1), wave('b', 1, { soak: '1h' }), wave('c', 1, { approval: true }), wave('d', 1, { barrier: true })] }).waves
    expect([plain, soaks, approved, barrier].map((each) => isBarrier(each!))).toEqual([false, true, true, true])
  })

  test('a rollout needs a target and a selector, and takes nothing else for them', () => {
    const request = { name: 'r', target: { release: 'shop@1.0.0' }, selector: { all: true } }
    expect(RolloutRequest.safeParse(request).success).toBe(true)
    for (const broken of [{ ...request, target: {} }, { ...request, target: { release: 'shop@1.0.0', previousOf: `ro_${'0'.repeat(26)}` } }, { ...request, selector: undefined }, { ...request, replaces: 'everything' }]) {
      expect(RolloutRequest.safeParse(broken).success).toBe(false)
    }
  })
})

describe('lengths of time', () => {
  test.each([['90s', 90_000], ['15m', 900_000], ['24h', 86_400_000], ['30d', 2_592_000_000], ['250ms', 250], [1500, 1500], ['0s', 0]])('%j is %i ms', (text, spanMs) => {
    expect(Span.parse(text)).toBe(spanMs)
  })

  test.each(['', '1', '1 m', '-1s', '1.5h', '1w', '1m30s', 'PT1H', '9999999999s', -1, 1.5, '3651d', null])('%j is none', (text) => {
    expect(Span.safeParse(text).success).toBe(false)
  })

  test.each([0, 1, 999, 1000, 90_000, 900_000, 86_400_000, 2_592_000_000])('%i ms is written so that it reads back', (spanMs) => {
    expect(Span.parse(formatSpan(spanMs))).toBe(spanMs)
  })
})

describe('zones, instants and local dates', () => {
  test.each(['Europe/Berlin', 'UTC', 'Pacific/Chatham', 'America/St_Johns'])('%s is a zone', (zone) => {
    expect(TimeZone.safeParse(zone).success).toBe(true)
  })

  test.each(['Atlantis/Capital', '', 'Europe', 'Mars/Olympus', '../etc/passwd', 'x'.repeat(65)])('%j is none that exists', (zone) => {
    expect(TimeZone.safeParse(zone).success).toBe(false)
  })

  test('instants carry their offset, local dates never do', () => {
    expect(Instant.safeParse('2026-03-29T01:30:00+01:00').success).toBe(true)
    expect(Instant.safeParse('2026-03-29T01:30:00').success).toBe(false)
    expect(Freeze.safeParse({ from: '2026-12-20', to: '2027-01-02T06:00' }).success).toBe(true)
    for (const from of ['2026-12-20Z', '2026-12-20T06:00Z', '20.12.2026', '2026-12-20 06:00']) expect(Freeze.safeParse({ from, to: '2027-01-02' }).success, from).toBe(false)
  })
})
