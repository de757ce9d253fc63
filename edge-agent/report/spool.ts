import { z } from 'zod'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { BootId, TimeMs } from '../../protocol/ids.ts'
import { ReportBody } from '../../protocol/reports.ts'
import type { Files } from '../host/host.ts'
import { explain, type Log } from '../log.ts'

/** A report that waits to be sent, numbered when it was made. */
export const SpooledReport = z.strictObject({ seq: z.int().positive(), bootId: BootId, madeAtMs: TimeMs, body: ReportBody })
export type SpooledReport = z.infer<typeof SpooledReport>

export interface Spool {
  /** Numbers a report and keeps it until it is acknowledged; returns once it is on disk, or in memory where the disk refuses (F23). */
  add(body: ReportBody): Promise<SpooledReport>
  /** The oldest that waits. It is being sent from now on: nothing replaces it any more. */
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
    case 'inventory': return body.kind
    case 'progress': return `progress ${body.attempt.deployment} ${body.attempt.attempt}`
    case 'staged': return `staged ${body.release.digest}`
    // Forged or garbled messages must not fill the spool.
    case 'rejected': return body.directive === 'unreadable' ? `rejected ${body.reason}` : null
    default: return null
  }
}

/** What goes first when the spool is full; the highest rank goes last (F32). */
function rankOf(body: ReportBody): number {
  switch (body.kind) {
    case 'inventory': return 0
    case 'staged':
    case 'gone': return 1
    case 'hello':
    case 'progress': return 2
    default: return 3
  }
}

/** The report to drop from a full spool: the oldest of the lowest rank. */
const victimOf = (waiting: readonly SpooledReport[]): SpooledReport =>
  waiting.reduce((victim, report) => (rankOf(report.body) < rankOf(victim.body) ? report : victim))

const nameOf = (seq: number): string => `${String(seq).padStart(16, '0')}.json`
/** A hello is made anew at each connect: what an earlier life had to say in one is of no use. */
const isLasting = (body: ReportBody): boolean => body.kind !== 'hello'

/** Opens the spool, with what earlier lives could not send. A file that is not a whole report is dropped. */
export async function openSpool(parts: SpoolParts): Promise<Spool> {
  const { files, directory, log } = parts
  const waiting: SpooledReport[] = await readSpool(files, directory, log)
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
    if (isLasting(report.body)) await files.remove(`${directory}/${nameOf(report.seq)}`).catch((error: unknown) => log('warn', 'spool-remove-failed', { seq: report.seq, error: explain(error) }))
  }
  const makeRoom = async (body: ReportBody): Promise<void> => {
    const key = coalescingKey(body)
    for (const older of waiting.filter((report) => report !== sending && key !== null && coalescingKey(report.body) === key)) await drop(older)
    while (waiting.length >= parts.reportsMax) {
      const victim = victimOf(waiting.filter((report) => report !== sending))
      log('warn', 'report-dropped', { seq: victim.seq, kind: victim.body.kind })
      await drop(victim)
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
        if (isLasting(body)) {
          await files.writeDurable(`${directory}/${nameOf(report.seq)}`, utf8(JSON.stringify(report)), 0o600)
            .catch((error: unknown) => log('warn', 'report-kept-in-memory-only', { seq: report.seq, error: explain(error) }))
        }
        return report
      }),
    take() {
      sending = waiting[0] ?? null
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
