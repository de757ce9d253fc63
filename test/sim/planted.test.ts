import { describe, expect, test } from 'vitest'
import { mutations } from './mutations.ts'
import { runSeed } from './run-seed.ts'

const seedsMax = 20

describe('the simulator finds', () => {
  test.each(mutations)('$name', async ({ planted, invariants, chaos }) => {
    const found: string[] = []
    for (let seed = 1; seed <= seedsMax && !found.some((invariant) => invariants.includes(invariant)); seed++) {
      const { violation } = await runSeed({ seed, sites: 3, planted, chaos })
      if (violation !== null) found.push(violation.invariant)
    }
    expect(invariants).toEqual(expect.arrayContaining(found.slice(-1)))
    expect(found).not.toEqual([])
  }, 600_000)
})
