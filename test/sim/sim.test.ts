import { expect, test } from 'vitest'
import { alarmIds } from '../../protocol/alarms.ts'
import { runPool } from './pool.ts'
import { runSeed } from './run-seed.ts'
import { explainViolation } from './summary.ts'

const patienceMs = 1_800_000
const seedsCount = 160

test('no seed breaks an invariant of SPEC.md, whatever is lost, repeated, delayed or killed', async () => {
  const results = await runPool({ seeds: Array.from({ length: seedsCount }, (_, i) => i + 1), sites: 4, workers: 2 })
  expect(results).toHaveLength(seedsCount)
  expect(results.filter((result) => result.violation !== null).map(explainViolation).join('\n')).toBe('')
  const faults = new Set(results.flatMap((result) => Object.keys(result.faults)))
  for (const kind of ['power-cut', 'line-cut', 'partition', 'clock', 'disk-full', 'broker-restart', 'machine-replaced', 'machine-copied', 'database-restored', 'schedule-stops', 'tick-overlaps', 'frozen', 'read-failed', 'killed-before-write', 'killed-after-publish', 'guard-lost']) expect(faults).toContain(kind)
  for (const kind of ['disk-fills', 'unit-fails', 'unit-flaps', 'line-flaps', 'will-lost']) expect(faults).toContain(kind)
  const alarms = new Set(results.flatMap((result) => Object.keys(result.alarms)))
  for (const alarmId of [alarmIds.filesystem, alarmIds.unit, alarmIds.component, alarmIds.siteOffline, alarmIds.siteSuspect, alarmIds.clockSkew, alarmIds.rolloutPaused, alarmIds.deploymentFailed, 'pause']) expect(alarms).toContain(alarmId)
  const outcomes = new Set(results.flatMap((result) => Object.keys(result.outcomes)))
  for (const outcome of ['succeeded', 'failed', 'rolled-back', 'timed-out']) expect(outcomes).toContain(outcome)
}, patienceMs)

test('the same seed gives the same run, event by event', async () => {
  const [first, second] = [await runSeed({ seed: 7, sites: 5 }), await runSeed({ seed: 7, sites: 5 })]
  expect(second.traceHash).toBe(first.traceHash)
  expect(second.events).toBe(first.events)
}, patienceMs)

test('another seed gives another run', async () => {
  const [first, second] = [await runSeed({ seed: 8, sites: 3 }), await runSeed({ seed: 9, sites: 3 })]
  expect(second.traceHash).not.toBe(first.traceHash)
}, patienceMs)
