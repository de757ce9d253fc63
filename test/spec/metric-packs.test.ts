import { describe, expect, test } from 'vitest'
import { fromColumns, toColumns } from '../../functions/metric/columns.ts'
import { layGrid } from '../../functions/metric/grid.ts'
import { gunzip, gzip } from '../../functions/metric/gzip.ts'
import { judgeGrowth } from '../../functions/metric/judge-growth.ts'
import { assemblePack, findInPack, packHeadBytes, packSite, sitesPerPackMax, unpackSite } from '../../functions/metric/pack-format.ts'
import { createResampler } from '../../functions/metric/resample.ts'
import { summarize } from '../../functions/metric/summarize.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import { arbitraryBlock, blockMs, steadyBlock, steadyNode } from '../support/metric-blocks.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

const dayMs = 86_400_000
const day = 20_000 * dayMs
/** What a block says, whatever the order of its nodes and filesystems. */
const settled = (blocks: readonly MetricBlock[]) =>
  blocks.map((block) => ({ ...block, nodes: [...block.nodes].sort((a, b) => (a.node < b.node ? -1 : 1)).map((node) => ({ ...node, filesystems: [...node.filesystems].sort((a, b) => (a.path < b.path ? -1 : 1)) })) }))

describe('a pack', () => {
  test.each(Array.from({ length: 30 }, (_, seed) => seed))('gives back the blocks that went into it, whatever they are (seed %i)', async (seed) => {
    const next = seededFractions(seed)
    const blocks = Array.from({ length: Math.floor(next() * 97) }, (_, i) => arbitraryBlock(day + i * blockMs, next)).filter(() => next() > 0.2)
    expect(settled(fromColumns(JSON.parse(JSON.stringify(toColumns(blocks)))))).toEqual(settled(blocks))
    expect(settled(await unpackSite(await packSite(blocks)))).toEqual(settled(blocks))
  })

  test('is at most a fifth as long as what it holds, for a day of a node', async () => {
    const next = seededFractions(1)
    const walk = (from: number, by: number) => Array.from({ length: 15 }, () => Math.max(0, Math.min(1000, Math.round(from + by * (next() - 0.5)))))
    const blocks = Array.from({ length: 96 }, (_, i) => steadyBlock(day + i * blockMs, { ...steadyNode('alpha'), cpu: walk(300, 20), memory: walk(600, 2), received: walk(500, 300), sent: walk(200, 100) }))
    const { length } = await packSite(blocks)
    expect(length).toBeLessThan(JSON.stringify(blocks).length / 5)
  })

  test('says where each of its sites is, also with as many and as long names as there may be', async () => {
    const sites = await Promise.all(Array.from({ length: sitesPerPackMax }, async (_, i) => ({ site: String(i).padStart(63, 'x'), bytes: await gzip(new Uint8Array([i])) })))
    const pack = assemblePack(sites)
    for (const { site, bytes } of sites) {
      const place = findInPack(pack.slice(0, packHeadBytes), site)!
      expect(pack.slice(place.offset, place.offset + place.length)).toEqual(bytes)
    }
    expect(findInPack(pack.slice(0, packHeadBytes), 'somebody')).toBeNull()
  })

  test('that is damaged, cut, swollen or no pack at all is told from one that is whole', async () => {
    const bytes = await packSite([steadyBlock(day, steadyNode('alpha'))])
    const flipped = bytes.map((byte, i) => (i === bytes.length - 6 ? byte ^ 1 : byte))
    for (const wrong of [bytes.slice(0, -3), flipped, new Uint8Array(0), await gzip(new TextEncoder().encode('{"v":2}')), await gzip(new TextEncoder().encode('{"v":1,"blocks":[{"startMs":1,"stepS":60}],"nodes":[]}'))]) {
      await expect(unpackSite(wrong)).rejects.toThrow()
    }
    await expect(gunzip(await gzip(new Uint8Array(1_000_000)), 999_999)).rejects.toThrow('999999')
    for (const head of ['', 'PK', '{"v":1}', '{"v":1,"sites":[["a",-1,5]]}']) expect(() => findInPack(new TextEncoder().encode(head), 'a')).toThrow()
  })
})

describe('a summary', () => {
  test('does not depend on the order of its blocks, and says of what is not known that it is not known', () => {
    const next = seededFractions(5)
    const blocks = Array.from({ length: 8 }, (_, i) => arbitraryBlock(day + i * blockMs, next))
    expect(summarize([...blocks].reverse()).summary).toEqual(summarize(blocks).summary)
    expect(summarize([])).toEqual({ fullest: null, summary: { nodes: 0, cpu: null, cpuMax: null, memory: null, received: null, sent: null, pods: null, full: null } })
    expect(summarize([steadyBlock(day, { ...steadyNode('alpha', { cpu: null, used: {} }), memory: [] })]).summary).toMatchObject({ nodes: 1, cpu: null, cpuMax: null, memory: null, full: null, pods: 10 })
  })
})

describe('steps', () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))('hold each sample once, and their means are those of the samples (seed %i)', (seed) => {
    const next = seededFractions(seed)
    const blocks = Array.from({ length: 20 }, (_, i) => arbitraryBlock(day + i * blockMs, next))
    const grid = layGrid({ from: new Date(day).toISOString(), to: new Date(day + 20 * blockMs).toISOString(), step: 1 + Math.floor(next() * 3_600_000) }, day + dayMs)
    const resampler = createResampler(grid)
    for (const block of blocks) resampler.add(block)
    for (const node of resampler.nodes()) {
      const samples = blocks.flatMap((block) => block.nodes.filter((each) => each.node === node.node).flatMap(({ cpu }) => cpu.map((value, i) => ({ value, step: Math.floor((block.startMs + i * block.stepS * 1000 - grid.fromMs) / grid.stepMs) }))))
      for (const [step, shown] of node.cpu.entries()) {
        const values = samples.filter((each) => each.step === step && each.value !== null).map(({ value }) => value!)
        expect(shown === null).toBe(values.length === 0)
        if (shown === null) continue
        expect(shown * 1000).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 0)
        expect(node.cpuMax[step]! * 1000).toBeCloseTo(Math.max(...values), 5)
      }
    }
  })
})

describe('growth', () => {
  const gigabyte = 1_000_000_000
  const days = (used: readonly number[], path = '/') => used.map((permille, i) => ({ day: i, filesystems: [{ node: 'alpha', path, sizeBytes: 100 * gigabyte, used: permille }] }))
  const of = { node: 'alpha', path: '/' }

  test('is bytes a day, and says in how many days the filesystem is full', () => {
    const judged = judgeGrowth(days([500, 510, 520, 530, 540]))
    expect([judged.growthOf(of), judged.daysLeft]).toEqual([gigabyte, 46])
  })

  test('is not bent by a day of clearing up', () => {
    expect(judgeGrowth(days([500, 510, 520, 100, 540, 550, 560])).growthOf(of)).toBe(gigabyte)
  })

  test('is said of what shrinks, which is never full', () => {
    const judged = judgeGrowth(days([540, 530, 520, 510]))
    expect([judged.growthOf(of), judged.daysLeft]).toEqual([-gigabyte, null])
    expect(judgeGrowth(days([500, 500, 500, 500])).daysLeft).toBeNull()
  })

  test('is not said after three days, nor of what is not there any more, and what takes ten years is not filling', () => {
    expect(judgeGrowth(days([500, 510, 520])).growthOf(of)).toBeNull()
    expect(judgeGrowth([]).daysLeft).toBeNull()
    expect(judgeGrowth([...days([500, 510, 520, 530]), { day: 4, filesystems: [] }])).toMatchObject({ daysLeft: null })
    const slow = [0, 1, 2, 3].map((day) => ({ day, filesystems: [{ node: 'alpha', path: '/', sizeBytes: 10_000 * gigabyte, used: day === 0 ? 0 : 0 + day * 0.1 }] }))
    expect(judgeGrowth(slow).daysLeft).toBeNull()
  })

  test('of several filesystems: the first that will be full counts, whichever is the fullest now', () => {
    const both = days([900, 901, 902, 903]).map(({ day, filesystems }) => ({ day, filesystems: [...filesystems, { node: 'beta', path: '/var', sizeBytes: 100 * gigabyte, used: 200 + 100 * day }] }))
    expect(judgeGrowth(both).daysLeft).toBe(5)
  })
})
