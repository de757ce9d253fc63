import { expect, test } from 'vitest'
import { DriverError, type Change, type Driver, type Observed } from '../../edge-agent/driver/contract.ts'
import type { Host } from '../../edge-agent/host/host.ts'

export type ReleaseOf = NonNullable<Change['from']>
/**
 * A driver on a node of its own. `release` is the component in version `one` or `two`; `world` says which version a
 * user of the node would find there, without asking the driver.
 */
export type Bench = {
  host: Host
  driver: Driver
  release(version: 'one' | 'two'): Promise<ReleaseOf>
  change(from: ReleaseOf | null, to: ReleaseOf | null): Change
  world(): Promise<string | null>
}

export async function errorOf(work: Promise<unknown>): Promise<DriverError> {
  const error = await work.then(() => null, (thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(DriverError)
  return error as DriverError
}

/** A whole deployment of one component, up to and including `cleanup`. */
export async function deploy({ host, driver }: Bench, change: Change): Promise<void> {
  for (const verb of ['stage', 'apply', 'verify', 'commit', 'cleanup'] as const) await driver[verb](host, change)
}

/** What every driver must do, with every verb called twice where the contract says that it may be. */
export function driverCases(fresh: () => Promise<Bench>): void {
  const present = (side: ReleaseOf): Observed => ({ state: 'present', digest: side.tree.digest })
  const start = async (): Promise<{ bench: Bench; one: ReleaseOf; two: ReleaseOf }> => {
    const bench = await fresh()
    return { bench, one: await bench.release('one'), two: await bench.release('two') }
  }
  const twice = async (bench: Bench, change: Change, ...verbs: ('stage' | 'apply' | 'verify' | 'commit' | 'rollback' | 'cleanup')[]): Promise<void> => {
    for (const verb of verbs) {
      await bench.driver[verb](bench.host, change)
      await bench.driver[verb](bench.host, change)
    }
  }

  test('a new component goes from absent to present, each verb called twice', async () => {
    const { bench, one } = await start()
    const change = bench.change(null, one)
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'absent' })
    await twice(bench, change, 'stage')
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'absent' })
    expect(await bench.world()).toBeNull()
    await twice(bench, change, 'apply', 'verify')
    expect(await bench.world()).toBe('one')
    await twice(bench, change, 'commit', 'cleanup', 'verify')
    expect(await bench.driver.observe(bench.host, bench.change(one, null))).toEqual(present(one))
    expect(await bench.world()).toBe('one')
  })

  test('an update goes from the old to the new', async () => {
    const { bench, one, two } = await start()
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, two)
    await twice(bench, change, 'stage')
    expect(await bench.world()).toBe('one')
    expect(await bench.driver.observe(bench.host, change)).toEqual(present(one))
    await twice(bench, change, 'apply', 'verify')
    expect(await bench.world()).toBe('two')
    await twice(bench, change, 'commit', 'cleanup')
    expect(await bench.driver.observe(bench.host, change)).toEqual(present(two))
    expect(await bench.world()).toBe('two')
  })

  test('an update that was applied is rolled back, and can be tried again', async () => {
    const { bench, one, two } = await start()
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, two)
    for (let round = 0; round < 2; round++) {
      await twice(bench, change, 'stage', 'apply', 'rollback')
      expect(await bench.world()).toBe('one')
      expect(await bench.driver.observe(bench.host, change)).toEqual(present(one))
      await twice(bench, change, 'cleanup')
    }
    await deploy(bench, change)
    expect(await bench.world()).toBe('two')
  })

  test('a new component is rolled back to nothing', async () => {
    const { bench, one } = await start()
    const change = bench.change(null, one)
    await twice(bench, change, 'stage', 'apply', 'rollback')
    expect(await bench.world()).toBeNull()
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'absent' })
    await twice(bench, change, 'cleanup')
    expect(await bench.world()).toBeNull()
  })

  test('a rollback without apply changes nothing', async () => {
    const { bench, one, two } = await start()
    await twice(bench, bench.change(null, one), 'rollback', 'cleanup')
    expect(await bench.world()).toBeNull()
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, two)
    await twice(bench, change, 'rollback', 'stage', 'rollback')
    expect(await bench.world()).toBe('one')
    expect(await bench.driver.observe(bench.host, change)).toEqual(present(one))
  })

  test('a dropped component goes away, and comes back with a rollback', async () => {
    const { bench, one } = await start()
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, null)
    await twice(bench, change, 'stage', 'apply', 'verify')
    expect(await bench.world()).toBeNull()
    await twice(bench, change, 'rollback')
    expect(await bench.world()).toBe('one')
    expect(await bench.driver.observe(bench.host, change)).toEqual(present(one))
    await twice(bench, change, 'cleanup', 'apply', 'verify', 'commit', 'cleanup')
    expect(await bench.world()).toBeNull()
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'absent' })
  })

  test('verify refuses what is not in effect', async () => {
    const { bench, one, two } = await start()
    expect((await errorOf(bench.driver.verify(bench.host, bench.change(null, one)))).code).toBe('not-in-effect')
    await deploy(bench, bench.change(null, one))
    expect((await errorOf(bench.driver.verify(bench.host, bench.change(one, two)))).code).toBe('not-in-effect')
    expect((await errorOf(bench.driver.verify(bench.host, bench.change(one, null)))).code).toBe('not-in-effect')
  })

  test('cleanup leaves nothing of the change behind', async () => {
    const { bench, one, two } = await start()
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, two)
    await twice(bench, change, 'stage', 'apply', 'rollback', 'cleanup')
    expect(await bench.host.files.facts(change.stateDirectory)).toBeNull()
    await deploy(bench, change)
    expect(await bench.host.files.facts(change.stateDirectory)).toBeNull()
  })
}
