import { beforeEach, describe, expect, test } from 'vitest'
import { FileError } from '../../edge-agent/host/host.ts'
import { silentLog } from '../../edge-agent/log.ts'
import type { HeldState } from '../../edge-agent/held/state.ts'
import type { Store } from '../../edge-agent/journal/store.ts'
import { createNumbering } from '../../edge-agent/report/number-reports.ts'
import { openSpool, type Spool } from '../../edge-agent/report/spool.ts'
import type { BootId, CommandId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { ReportBody } from '../../protocol/reports.ts'
import { SimulatedFiles } from '../support/simulated-files.ts'
import { aDeployment } from '../support/make-directives.ts'

const bootId = 'b'.repeat(32) as BootId
const inventory = (kernel: string): ReportBody => ({ kind: 'inventory', facts: { kernel } })
const answer = (detail: string): ReportBody => ({ kind: 'answer', command: `cm_${'0'.repeat(26)}` as CommandId, result: 'done', detail })
const unreadable = (detail: string): ReportBody => ({ kind: 'rejected', reason: 'bad-signature', directive: 'unreadable', position: null, held: null, deployment: null, attempt: null, detail })
const progress = (attempt: number, phase: 'staging' | 'applying'): ReportBody => ({
  kind: 'progress', running: null, previous: null, nodes: [],
  attempt: { deployment: aDeployment, attempt, phase, outcome: null, fault: null, nodesDone: 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: 'request-1' },
})

let files: SimulatedFiles
let seq: number

function open(reportsMax = 100): Promise<Spool> {
  return openSpool({ files, directory: '/spool', reportsMax, bootId, nowMs: () => 1, nextSeq: async () => ++seq, log: silentLog })
}
async function drain(spool: Spool): Promise<ReportBody[]> {
  const bodies: ReportBody[] = []
  for (let report = spool.take(); report !== null; report = spool.take()) {
    bodies.push(report.body)
    await spool.acknowledged(report)
  }
  return bodies
}

beforeEach(async () => {
  seq = 0
  files = new SimulatedFiles()
  await files.makeDirectory('/spool')
  await files.sync('/')
})

describe('the spool of reports (SPEC §3.2)', () => {
  test('gives reports in the order of their numbers, each until it is acknowledged', async () => {
    const spool = await open()
    for (const text of ['a', 'b', 'c']) await spool.add(answer(text))
    expect(spool.take()).toBe(spool.take())
    expect((await drain(spool)).map((body) => 'detail' in body && body.detail)).toEqual(['a', 'b', 'c'])
    expect(await files.list('/spool')).toEqual([])
  })

  test('keeps what was added over a power cut, and sends it again if the acknowledgement was lost (I8)', async () => {
    const spool = await open()
    await spool.add(answer('a'))
    await spool.add(answer('b'))
    await spool.acknowledged(spool.take()!)
    files.crash(() => 0.9)
    const after = await open()
    expect((await drain(after)).map((body) => 'detail' in body && body.detail)).toContain('b')
  })

  test('replaces an unsent older report of the same attempt, and no other', async () => {
    const spool = await open()
    await spool.add(progress(1, 'staging'))
    await spool.add(progress(2, 'staging'))
    await spool.add(inventory('1'))
    await spool.add(progress(2, 'applying'))
    await spool.add(inventory('2'))
    expect(await drain(spool)).toEqual([progress(1, 'staging'), progress(2, 'applying'), inventory('2')])
  })

  test('does not replace a report that is being sent', async () => {
    const spool = await open()
    await spool.add(progress(1, 'staging'))
    const sending = spool.take()!
    await spool.add(progress(1, 'applying'))
    expect(spool.take()).toBe(sending)
    expect(spool.length).toBe(2)
  })

  test('when it is full, drops the oldest of the least, and answers last (F32)', async () => {
    const spool = await open(3)
    await spool.add(inventory('1'))
    await spool.add(answer('a'))
    await spool.add(progress(1, 'staging'))
    await spool.add(answer('b'))
    await spool.add(answer('c'))
    expect(await drain(spool)).toEqual([answer('a'), answer('b'), answer('c')])
  })

  test('a flood of forged messages takes one place (F44)', async () => {
    const spool = await open()
    for (let i = 0; i < 50; i++) await spool.add(unreadable(String(i)))
    expect(spool.length).toBe(1)
  })

  test('a full disk does not keep a report from being sent (F23)', async () => {
    const spool = await open()
    files.beforeCall = (name, path) => {
      if (name === 'write') throw new FileError('ENOSPC', path)
    }
    await spool.add(answer('a'))
    expect(await drain(spool)).toEqual([answer('a')])
  })

  test('a damaged report is dropped, the others are not (F22)', async () => {
    const spool = await open()
    await spool.add(answer('a'))
    await spool.add(answer('b'))
    const [first] = (await files.list('/spool')).sort()
    await files.write(`/spool/${first}`, new Uint8Array(3))
    expect(await drain(await open())).toEqual([answer('b')])
  })
})

const aBlock = (quarter: number): ReportBody => ({ kind: 'metrics', block: { startMs: quarter * limits.metricBlockMs, stepS: 60, nodes: [] }, alarms: [] })
const alarm = (entity: string, raised = true): ReportBody => ({ kind: 'alarm', alarmId: '120.001', entity, raised, severity: 'major', text: entity })
const quarters = (bodies: ReportBody[]): number[] => bodies.flatMap((body) => (body.kind === 'metrics' ? [body.block.startMs / limits.metricBlockMs] : []))

describe('faults and metrics in the spool', () => {
  test('of one alarm only the newest state waits, in a storm of ten thousand changes too (F67)', async () => {
    const spool = await open(4096)
    for (let i = 0; i < 10_000; i++) await spool.add(alarm(`unit-${i % 20}`, i < 9990))
    expect(spool.length).toBe(20)
    const said = await drain(spool)
    expect(said.filter((body) => 'raised' in body && !body.raised)).toHaveLength(10)
    expect(await files.list('/spool')).toEqual([])
  })

  test('metrics are said after all else, and go first when the spool is full (F32)', async () => {
    const spool = await open(4)
    await spool.add(aBlock(1))
    await spool.add(inventory('1'))
    await spool.add(aBlock(2))
    await spool.add(answer('a'))
    await spool.add(alarm('a'))
    await spool.add(alarm('b'))
    expect(await drain(spool)).toEqual([inventory('1'), answer('a'), alarm('a'), alarm('b')])
    await spool.add(aBlock(1))
    await spool.add(alarm('a'))
    expect(await drain(spool)).toEqual([alarm('a'), aBlock(1)])
  })

  test('blocks that the controller would not keep any more are dropped, the oldest first', async () => {
    const spool = await open(4096)
    for (let i = 0; i < limits.metricSlots + 10; i++) await spool.add(aBlock(i))
    expect(quarters(await drain(spool))).toEqual(Array.from({ length: limits.metricSlots }, (_, i) => i + 10))
  })

  test('a disk that is full gives up blocks for a fault, as many as it takes (F23)', async () => {
    const spool = await open()
    for (let i = 0; i < 5; i++) await spool.add(aBlock(i))
    let refused = 2
    files.beforeCall = (name, path) => {
      if (name === 'write' && refused-- > 0) throw new FileError('ENOSPC', path)
    }
    await spool.add(alarm('a'))
    files.crash(() => 0.9)
    files.beforeCall = null
    const after = await drain(await open())
    expect(after[0]).toEqual(alarm('a'))
    expect(quarters(after)).toEqual([2, 3, 4])
  })

  test('a disk with another fault costs no block', async () => {
    const spool = await open()
    await spool.add(aBlock(1))
    files.beforeCall = (name, path) => {
      if (name === 'write') throw new FileError('EIO', path)
    }
    await spool.add(alarm('a'))
    files.beforeCall = null
    expect((await drain(spool)).map(({ kind }) => kind)).toEqual(['alarm', 'metrics'])
  })
})

describe('numbers of reports', () => {
  const numbering = (seqCeiling: number, nowMs: number) => {
    const state = { seqCeiling } as HeldState
    const full = { current: state, update: () => Promise.reject(new FileError('ENOSPC', '/held')), write: () => Promise.reject(new FileError('ENOSPC', '/held')) } as unknown as Store<HeldState>
    return createNumbering(full, nowMs, silentLog)
  }

  test('of a life that could reserve none are never used again by the next one (F23)', async () => {
    const first = numbering(10, 1_000_000)
    const used = [await first(), await first(), await first()]
    expect(used).toEqual([1001, 1002, 1003])
    expect(await numbering(10, 1_060_000)()).toBeGreaterThan(used.at(-1)!)
  })

  test('go on above what was reserved, whatever the clock says', async () => {
    expect(await numbering(5_000, 0)()).toBe(5_001)
    expect(await numbering(5_000, Number.MAX_SAFE_INTEGER)()).toBeLessThan(2 ** 41)
  })
})
