import * as z from 'zod'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { BootId, TimeMs } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { ReportBody } from '../../protocol/reports.ts'
import { FileError, type Files } from '../host/host.ts'
import { explain, type Log } from '../log.ts'

/** A report that waits to be sent, numbered when it was made. */
export const SpooledReport = z.strictObject({ seq: z.int().positive(), bootId: BootId, madeAtMs: TimeMs, body: ReportBody })
export type SpooledReport = z.infer<typeof SpooledReport>

export interface Spool {
  /** Numbers a report and keeps it until it is acknowledged; returns once it is on disk, or in memory where the disk refuses (F23). */
  add(body: ReportBody): Promise<SpooledReport>
  /** The oldest that waits, metrics after all else. It is being sent from now on: nothing replaces it any more. */
  take(): SpooledReport | null
  /** A number for something that is sent beside the spool. */
  number(): Promise<number>
  /** The broker has it. */
  acknowledged(report: SpooledReport): Promise<void>
  readonly length: number
}

export type SpoolParts = {
  files: Files
  directory: string
  reportsMax: number
  bootId: BootId
  nowMs: () => number
  /** Numbers that no earlier life has used. */
  nextSeq: () => Promise<number>
  log: Log
}

/** A newer report with the same key makes an unsent older one superfluous (SPEC §3.2). Null: each says something of its own. */
export function coalescingKey(body: ReportBody): string | null {
  switch (body.kind) {
    case 'hello':
    case 'standing':
    case 'inventory': return body.kind
    case 'progress': return `progress ${body.attempt.deployment} ${body.attempt.attempt}`
    case 'staged': return `staged ${body.release.digest}`
    case 'live': return body.kind
    case 'alarm': return `alarm ${body.alarmId} ${body.entity}`
    // Forged or garbled messages must not fill the spool.
    case 'rejected': return body.directive === 'unreadable' ? `rejected ${body.reason}` : null
    default: return null
  }
}

/** What goes first when the spool is full; the highest rank goes last (F32). */
function rankOf(body: ReportBody): number {
  switch (body.kind) {
    case 'live':
    case 'metrics': return 0
    case 'inventory': return 1
    case 'staged':
    case 'gone': return 2
    case 'hello':
    case 'standing':
    case 'progress': return 3
    default: return 4
  }
}

/** The report to drop from a full spool: the oldest of the lowest rank. */
const victimOf = (waiting: readonly SpooledReport[]): SpooledReport =>
  waiting.reduce((victim, report) => (rankOf(report.body) < rankOf(victim.body) ? report : victim))

const nameOf = (seq: number): string => `${String(seq).padStart(16, '0')}.json`
/** Hello and what stands are said anew at each connect, and nobody looks at an earlier life: what these say is of no use to the next. */
const isLasting = ({ kind }: ReportBody): boolean => kind !== 'hello' && kind !== 'standing' && kind !== 'live'
const isMetrics = ({ body }: SpooledReport): boolean => body.kind === 'metrics'
const isFull = (error: unknown): boolean => error instanceof FileError && (error.code === 'ENOSPC' || error.code === 'EDQUOT')

/** Opens the spool, with what earlier lives could not send. A file that is not a whole report is dropped. */
export async function openSpool(parts: SpoolParts): Promise<Spool> {
  const { files, directory, log } = parts
  const waiting: SpooledReport[] = await readSpool(files, directory, log)
  const newest = new Map<string, SpooledReport>()
  let sending: SpooledReport | null = null
  let queue: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = queue.then(work)
    queue = result.catch(() => undefined)
    return result
  }
  const drop = async (report: SpooledReport): Promise<void> => {
    const at = waiting.indexOf(report)
    if (at >= 0) waiting.splice(at, 1)
    const key = coalescingKey(report.body)
    if (key !== null && newest.get(key) === report) newest.delete(key)
    if (isLasting(report.body)) await files.remove(`${directory}/${nameOf(report.seq)}`).catch((error: unknown) => log('warn', 'spool-remove-failed', { seq: report.seq, error: explain(error) }))
  }
  const giveUp = async (victim: SpooledReport): Promise<void> => {
    log('warn', 'report-dropped', { seq: victim.seq, kind: victim.body.kind })
    await drop(victim)
  }
  const makeRoom = async (body: ReportBody): Promise<void> => {
    const older = newest.get(coalescingKey(body) ?? '')
    if (older !== undefined && older !== sending) await drop(older)
    const unsent = (): SpooledReport[] => waiting.filter((report) => report !== sending)
    // the controller keeps no more blocks of a site than this: the others would be of no use there
    const blocks = body.kind === 'metrics' ? unsent().filter(isMetrics) : []
    for (const victim of blocks.slice(0, Math.max(0, blocks.length + 1 - limits.metricSlots))) await giveUp(victim)
    while (waiting.length >= parts.reportsMax) await giveUp(victimOf(unsent()))
  }
  /** A disk without room takes blocks of metrics away before it refuses anything else (F32). */
  const write = async (report: SpooledReport): Promise<void> => {
    for (;;) {
      try {
        return await files.writeDurable(`${directory}/${nameOf(report.seq)}`, utf8(JSON.stringify(report)), 0o600)
      } catch (error) {
        const victim = isFull(error) && !isMetrics(report) ? waiting.find((each) => isMetrics(each) && each !== sending) : undefined
        if (victim === undefined) return log('warn', 'report-kept-in-memory-only', { seq: report.seq, error: explain(error) })
        await giveUp(victim)
      }
    }
  }
  return {
    get length() {
      return waiting.length
    },
    add: (body) =>
      inTurn(async () => {
        await makeRoom(body)
        const report: SpooledReport = { seq: await parts.nextSeq(), bootId: parts.bootId, madeAtMs: Math.max(0, Math.round(parts.nowMs())), body }
        waiting.push(report)
        const key = coalescingKey(body)
        if (key !== null) newest.set(key, report)
        if (isLasting(body)) await write(report)
        return report
      }),
    take() {
      sending = waiting.find((report) => !isMetrics(report)) ?? waiting[0] ?? null
      return sending
    },
    number: () => inTurn(parts.nextSeq),
    acknowledged: (report) =>
      inTurn(async () => {
        if (sending === report) sending = null
        await drop(report)
      }),
  }
}

async function readSpool(files: Files, directory: string, log: Log): Promise<SpooledReport[]> {
  const reports: SpooledReport[] = []
  for (const name of (await files.list(directory)).sort()) {
    try {
      reports.push(SpooledReport.parse(JSON.parse(fromUtf8(await files.read(`${directory}/${name}`)))))
    } catch (error) {
      log('warn', 'spooled-report-unreadable', { name, error: explain(error) })
      await files.remove(`${directory}/${name}`).catch(() => undefined)
    }
  }
  return reports
}
