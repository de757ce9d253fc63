import { describe, expect, test } from 'vitest'
import type { NodeSample } from '../../edge-agent/host/sensors.ts'
import { addToBlock, blockStartOf, closeBlock, liveSampleOf, openBlock } from '../../edge-agent/monitor/fold-series.ts'
import { measureUsage, type NodeUsage } from '../../edge-agent/monitor/measure-usage.ts'
import { watchOf } from '../../edge-agent/monitor/watch.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { LiveSample, MetricBlock } from '../../protocol/metrics.ts'

const node = 'n1' as NodeName
const startMs = blockStartOf(Date.UTC(2026, 0, 1, 10, 20))
const gibibyte = 1024 ** 3
const usage = (more: Partial<NodeUsage> = {}): NodeUsage => ({
  node, cpu: 12.34, memory: 50, memoryBytes: 8 * gibibyte, filesystems: [{ path: '/', sizeBytes: 100, used: 40, usedInodes: null }], received: 1000.4, sent: 10, pods: null, ...more,
})
const blockOf = (...minutes: (NodeUsage[] | null)[]): MetricBlock => {
  const block = openBlock(startMs, 60)
  minutes.forEach((usages, i) => usages !== null && addToBlock(block, usages, startMs + i * 60_000 + 1234))
  return closeBlock(block)
}
const sizeBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

describe('a block of metrics', () => {
  test('has a sample a minute, in permille and bytes, and null where there was none', () => {
    const block = blockOf([usage()], null, [usage({ cpu: 99.99, filesystems: [{ path: '/', sizeBytes: 100, used: 41.26, usedInodes: null }] })])
    expect(MetricBlock.parse(block)).toEqual(block)
    expect(block).toMatchObject({ startMs: Date.UTC(2026, 0, 1, 10, 15), stepS: 60 })
    const [metrics] = block.nodes
    expect(metrics!.cpu).toEqual([123, null, 1000, ...Array.from({ length: 12 }, () => null)])
    expect(metrics!.filesystems).toEqual([{ path: '/', sizeBytes: 100, used: [400, null, 413, ...Array.from({ length: 12 }, () => null)] }])
    expect(metrics!.received.slice(0, 3)).toEqual([1000, null, 1000])
    expect(metrics!.memoryBytes).toBe(8 * gibibyte)
    expect(metrics).not.toHaveProperty('pods')
  })

  test('of faster samples has their mean, of slower ones a longer step', () => {
    const fast = openBlock(startMs, 5)
    for (const [i, cpu] of [10, 20, 30, 90].entries()) addToBlock(fast, [usage({ cpu })], startMs + i * 20_000)
    expect(closeBlock(fast).nodes[0]!.cpu.slice(0, 3)).toEqual([200, 900, null])
    const slow = openBlock(startMs, 300)
    for (let i = 0; i < 3; i++) addToBlock(slow, [usage({ cpu: i })], startMs + i * 300_000)
    expect(closeBlock(slow)).toMatchObject({ stepS: 300, nodes: [{ cpu: [0, 10, 20] }] })
  })

  test('never has what is no number, or a share that is none (F19)', () => {
    const wild = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, 1e300]
    const block = blockOf(...wild.map((value) => [usage({ cpu: value, memory: value, memoryBytes: value, received: value, sent: value, pods: value, filesystems: [{ path: '/', sizeBytes: value, used: value, usedInodes: null }] })]))
    expect(MetricBlock.safeParse(JSON.parse(JSON.stringify(block))).success).toBe(true)
    expect(block.nodes[0]!.cpu.every((each) => each === null)).toBe(true)
    expect(block.nodes[0]).toMatchObject({ memoryBytes: null, filesystems: [] })
  })

  test('of a node with a thousand filesystems holds the fullest ones', () => {
    const filesystems = Array.from({ length: 1000 }, (_, i) => ({ path: `/mnt-${i}`, sizeBytes: gibibyte, used: (i * 7) % 100, usedInodes: null }))
    const block = blockOf([usage({ filesystems })], [usage({ filesystems })])
    expect(MetricBlock.safeParse(block).success).toBe(true)
    expect(block.nodes[0]!.filesystems).toHaveLength(limits.filesystemsPerNodeMax)
    expect(Math.min(...block.nodes[0]!.filesystems.map(({ used }) => used[0]!))).toBeGreaterThanOrEqual(960)
  })

  test('of the greatest site there may be is no longer than it may be, and loses the emptiest filesystems first', () => {
    const everything = Array.from({ length: limits.nodesPerSiteMax + 5 }, (_, n) => usage({
      node: `node-${n}-${'x'.repeat(50)}` as NodeName, cpu: 99.9, memory: 99.9, memoryBytes: 2 ** 52, received: 999_999_999_999, sent: 999_999_999_999, pods: 9_999,
      filesystems: Array.from({ length: 40 }, (_, i) => ({ path: `/${'界'.repeat(limits.mountPathMax - 10)}${i}`, sizeBytes: 2 ** 52, used: i, usedInodes: null })),
    }))
    const block = blockOf(...Array.from({ length: 15 }, () => everything))
    expect(MetricBlock.safeParse(block).success).toBe(true)
    expect(block.nodes).toHaveLength(limits.nodesPerSiteMax)
    expect(sizeBytes(block)).toBeLessThanOrEqual(limits.metricBlockBytesMax)
    const some = blockOf(...Array.from({ length: 15 }, () => everything.slice(0, 5)))
    const kept = some.nodes.flatMap(({ filesystems }) => filesystems.map(({ used }) => used[0]!))
    expect(sizeBytes(some)).toBeLessThanOrEqual(limits.metricBlockBytesMax)
    expect(kept.length).toBeGreaterThan(10)
    expect(Math.min(...kept)).toBeGreaterThanOrEqual(390 - Math.ceil(kept.length / 5) * 10)
  })

  test('a sample as a live view gets it has one value in each series', () => {
    const live = liveSampleOf([usage({ pods: 7 })], 5)
    expect(LiveSample.parse(live)).toEqual(live)
    expect(live.nodes[0]).toMatchObject({ cpu: [123], received: [1000], pods: [7], filesystems: [{ used: [400] }] })
  })
})

describe('what a node uses', () => {
  const nic = (name: string, receivedBytes: number | null, more = {}) => ({ name, up: true, hasDevice: true, receivedBytes, sentBytes: receivedBytes, ...more })
  const sample = (atMs: number, more: Partial<NodeSample> = {}): NodeSample => ({
    node, countersAtMs: atMs, cpu: { busyMs: atMs / 2, totalMs: atMs * 2 }, memory: { totalBytes: 1000, availableBytes: 100 }, filesystems: [], unread: [], interfaces: [nic('eth0', atMs * 10)], pods: null, ...more,
  })
  const watch = watchOf(null)

  test('follows from two samples of it', () => {
    expect(measureUsage(sample(10_000), sample(20_000), watch)).toMatchObject({ cpu: 25, memory: 90, memoryBytes: 1000, received: 10_000, sent: 10_000 })
  })

  test('is not known by one sample, by counters that fell, or where nothing passed between two', () => {
    expect(measureUsage(undefined, sample(1000), watch)).toMatchObject({ cpu: null, received: null, memory: 90 })
    expect(measureUsage(sample(20_000), sample(10_000), watch)).toMatchObject({ cpu: null, received: null })
    expect(measureUsage(sample(10_000), sample(10_000), watch)).toMatchObject({ cpu: null, received: null })
  })

  test('counts the network of interfaces that are watched: those with a device, or those that are named', () => {
    const before = sample(0, { interfaces: [nic('eth0', 0), nic('eth1', 0), nic('cni0', 0, { hasDevice: false })] })
    const after = sample(1000, { interfaces: [nic('eth0', 1), nic('eth1', 20), nic('cni0', 300, { hasDevice: false })] })
    const received = (interfaces: object) => measureUsage(before, after, watchOf({ interfaces })).received
    expect([received({}), received({ ignore: ['eth1'] }), received({ watch: ['cni0'] }), received({ watch: [] })]).toEqual([21, 1, 300, null])
  })
})
