import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  deploymentEvents, deploymentStates, deploymentTable, failureStates, inFlightStates, outcomes, outsideStates, rolloutEvents, rolloutStates, rolloutTable, waitingStates,
  type DeploymentEvent,
} from '../../protocol/states.ts'

const spec = readFileSync(join(import.meta.dirname, '../../protocol/SPEC.md'), 'utf8')

type Table = { events: string[]; rows: Map<string, string[]> }

/** The markdown tables whose first column is `state`, in their order. */
function stateTables(): Table[] {
  const tables: Table[] = []
  let table: Table | null = null
  for (const line of spec.split('\n')) {
    const cells = /^\|(.*)\|$/.exec(line)?.[1]?.split('|').map((cell) => cell.trim()) ?? null
    if (cells === null) table = null
    else if (cells[0] === 'state') tables.push((table = { events: cells.slice(1), rows: new Map() }))
    else if (table !== null && !/^-+$/.test(cells[0]!)) table.rows.set(cells[0]!, cells.slice(1))
  }
  return tables
}

const [decided, reported, rollout] = stateTables()
const cell = (next: string | null): string => next ?? '–'

/** What the site reports, as against what the controller decides. */
const siteEvents: readonly DeploymentEvent[] = ['started', ...outcomes]
const controllerEvents = deploymentEvents.filter((event) => !siteEvents.includes(event))
const ended = ['succeeded', 'failed', 'rolled-back', 'timed-out', 'cancelled', 'skipped', 'superseded'] as const

describe('SPEC.md shows the tables that the code runs by', () => {
  test.each([
    ['what the controller decides', decided, controllerEvents],
    ['what the site reports', reported, siteEvents],
  ] as const)('deployment: %s', (_, table, events) => {
    expect(table!.events).toEqual(events)
    expect([...table!.rows.keys()]).toEqual(deploymentStates)
    for (const state of deploymentStates) expect(table!.rows.get(state), state).toEqual(events.map((event) => cell(deploymentTable[state][event])))
  })

  test('rollout', () => {
    expect(rollout!.events).toEqual(rolloutEvents)
    expect([...rollout!.rows.keys()]).toEqual(rolloutStates)
    for (const state of rolloutStates) expect(rollout!.rows.get(state), state).toEqual(rolloutEvents.map((event) => cell(rolloutTable[state][event])))
  })
})

describe('the deployment table', () => {
  test('has no way out of superseded', () => {
    expect(Object.values(deploymentTable.superseded).filter((next) => next !== null)).toEqual([])
  })

  test.each(failureStates)('%s can be retried, and waived out of the count', (state) => {
    expect(deploymentTable[state].retry).toBe('pending')
    expect(deploymentTable[state].waive).toBe('skipped')
    expect(outsideStates).toContain(deploymentTable[state].waive)
  })

  test.each(ended)('what a site reports after the end changes nothing: %s (F36)', (state) => {
    expect(siteEvents.map((event) => deploymentTable[state][event])).toEqual(siteEvents.map(() => null))
  })

  test('only a grant takes a place, and only from pending: a site that says it has started never takes a new one (I7)', () => {
    for (const state of deploymentStates) {
      if (inFlightStates.includes(state)) continue
      for (const event of deploymentEvents) {
        const next = deploymentTable[state][event]
        const mayTake = event === 'grant' ? state === 'pending' : state === 'unknown' && event === 'needs-hands'
        if (next !== null && inFlightStates.includes(next)) expect(mayTake, `${state} on ${event} becomes ${next}`).toBe(true)
      }
      expect(deploymentTable[state].started, state).toBeNull()
    }
  })

  test('a site that starts or ends moves whoever holds a grant, and never to a place of its own choosing (I6)', () => {
    for (const state of deploymentStates) if (deploymentTable[state].started !== null) expect([state, deploymentTable[state].started]).toEqual(['granted', 'running'])
  })

  test('silence frees the place, and needs-hands keeps it until a person or the site speaks', () => {
    for (const state of ['granted', 'running'] as const) expect(inFlightStates).not.toContain(deploymentTable[state].silence)
    expect(deploymentTable['needs-hands'].silence).toBeNull()
    expect(inFlightStates).toContain('needs-hands')
  })

  test('from every state but superseded some chain of events leads to an end (I16)', () => {
    const reachesEnd = (start: string): boolean => {
      const seen = new Set([start])
      for (const state of seen) for (const next of Object.values(deploymentTable[state as keyof typeof deploymentTable])) if (next !== null) seen.add(next)
      return ['succeeded', 'skipped', 'superseded'].some((end) => seen.has(end))
    }
    expect(deploymentStates.filter((state) => !reachesEnd(state))).toEqual([])
  })

  test('no state is both counted as waiting and outside the count, or in flight and outside', () => {
    expect(waitingStates.filter((state) => outsideStates.includes(state))).toEqual([])
    expect(inFlightStates.filter((state) => outsideStates.includes(state))).toEqual([])
    expect(failureStates.filter((state) => outsideStates.includes(state))).toEqual([])
  })
})

describe('the rollout table (F61)', () => {
  test('an aborted or superseded rollout never moves again', () => {
    for (const state of ['aborted', 'superseded'] as const) expect(rolloutEvents.map((event) => rolloutTable[state][event])).toEqual(rolloutEvents.map(() => null))
  })

  test('every rollout that has not ended can be aborted, and aborting ends only by settling', () => {
    for (const state of ['scheduled', 'running', 'completed'] as const) expect(rolloutTable[state].abort).toBe('aborting')
    expect(rolloutEvents.filter((event) => rolloutTable.aborting[event] !== null)).toEqual(['settled'])
  })
})
