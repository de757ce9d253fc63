import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { openStore, StoreError } from '../../edge-agent/journal/store.ts'
import { FileError } from '../../edge-agent/host/host.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { cutPowerAfter, PowerCut, SimulatedFiles } from '../support/simulated-files.ts'
import { syncCrypto } from '../support/sync-crypto.ts'

const Counter = z.strictObject({ count: z.int() })
const open = (files: SimulatedFiles) => openStore(files, syncCrypto, '/state/counter', Counter)

async function disk(): Promise<SimulatedFiles> {
  const files = new SimulatedFiles()
  await files.makeDirectory('/state')
  await files.sync('/')
  return files
}

async function written(count: number): Promise<SimulatedFiles> {
  const files = await disk()
  const store = await open(files)
  for (let i = 1; i <= count; i++) await store.write({ count: i })
  return files
}

describe('a store of two slots', () => {
  test('holds nothing before the first write, and the last value after it', async () => {
    expect((await open(await disk())).current).toBeNull()
    expect((await open(await written(3))).current).toEqual({ count: 3 })
  })

  test('falls back to the value before when the newest slot is torn, flipped or empty (F22)', async () => {
    for (const damage of ['torn', 'flipped', 'empty'] as const) {
      const files = await written(3)
      const newest = '/state/counter.0'
      const bytes = await files.read(newest)
      if (damage === 'flipped') bytes[bytes.length - 5]! ^= 1
      await files.write(newest, damage === 'torn' ? bytes.subarray(0, 40) : damage === 'empty' ? new Uint8Array(0) : bytes)
      expect((await open(files)).current, damage).toEqual({ count: 2 })
    }
  })

  test('goes on writing over the damaged slot, never over the whole one', async () => {
    const files = await written(3)
    await files.write('/state/counter.0', new Uint8Array(0))
    await (await open(files)).write({ count: 9 })
    expect((await open(files)).current).toEqual({ count: 9 })
    await files.write('/state/counter.0', new Uint8Array(0))
    expect((await open(files)).current).toEqual({ count: 2 })
  })

  test('refuses to guess when nothing is whole', async () => {
    const files = await written(2)
    for (const slot of [0, 1]) await files.write(`/state/counter.${slot}`, new Uint8Array(10))
    await expect(open(files)).rejects.toThrow(StoreError)
  })

  test('keeps the old value where the disk refuses the new one (F23)', async () => {
    const files = await written(2)
    const store = await open(files)
    files.beforeCall = (name, path) => {
      if (name === 'write') throw new FileError('ENOSPC', path)
    }
    await expect(store.write({ count: 3 })).rejects.toThrow('ENOSPC')
    expect(store.current).toEqual({ count: 2 })
    files.beforeCall = null
    expect((await open(files)).current).toEqual({ count: 2 })
  })

  test('has the old or the new value after a power cut at any call of a write (F21)', async () => {
    for (let calls = 0; calls < 6; calls++) {
      for (let seed = 0; seed < 20; seed++) {
        const files = await written(2)
        const store = await open(files)
        files.beforeCall = cutPowerAfter(calls)
        const done = await store.write({ count: 3 }).then(() => true, (error: unknown) => {
          expect(error).toBeInstanceOf(PowerCut)
          return false
        })
        files.beforeCall = null
        files.crash(seededFractions(seed))
        const count = (await open(files)).current!.count
        expect(done ? [3] : [2, 3], `cut after ${calls}, seed ${seed}`).toContain(count)
      }
    }
  })

  test('gives concurrent changes one after the other', async () => {
    const store = await open(await written(1))
    await Promise.all(Array.from({ length: 10 }, () => store.update((current) => ({ count: current.count + 1 }))))
    expect(store.current).toEqual({ count: 11 })
  })
})
