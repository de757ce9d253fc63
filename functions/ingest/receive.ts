import { sql } from 'drizzle-orm'
import type { Envelope } from '../../protocol/envelope.ts'
import { deriveReportKey, openReport, parsePayload, reportKeyId } from '../../protocol/envelope.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import { GuardLost } from '../../db/client.ts'
import { FleetId, SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { controllerProtocols, standingOf } from '../../protocol/protocol-versions.ts'
import { Greeting, Report, UnknownReport } from '../../protocol/reports.ts'
import { ok, refuse, type Result } from '../../protocol/result.ts'
import { parseUpTopic, probeTopic } from '../../protocol/topics.ts'
import { heedAlarms } from '../alarm/heed-alarms.ts'
import type { Ctx } from '../context.ts'
import { dispatchDirectives } from '../directive/dispatch.ts'
import { describeError } from '../http/describe-error.ts'
import { tellMonitoring } from '../monitoring/tell.ts'
import { advanceRollout, newAllowance } from '../rollout/advance.ts'
import { wakeRollouts } from '../rollout/wake.ts'
import { wakeWebhooks, webhooksBehind } from '../webhook/run.ts'
import { foldReports, type Folded } from './fold.ts'
import { takeProbe } from './probe.ts'
import { recordReports } from './record.ts'

/** A message as it came from the broker; `payload` is the text of a sealed envelope. */
export type IncomingMessage = { topic: string; payload: Uint8Array }
export type Received = { accepted: number; refused: { index: number; reason: string }[] }

/** Reports that are recorded together. */
type Lot = { reports: Report[]; greetings: Greeting[]; sizeBytes: number }
const emptyLot = (): Lot => ({ reports: [], greetings: [], sizeBytes: 0 })

/**
 * Reports in, up to `ingestBatchMax` at once: each is checked by its seal without a read, the batch is folded and recorded in one write
 * (in several where it holds more than `ingestOpenedBytesMax`), and the rollouts it touches advance at once. Safe to repeat. Rejects only
 * when not all of it was recorded, so that a bridge may try again.
 */
export async function receiveReports(ctx: Ctx, messages: readonly IncomingMessage[]): Promise<Received> {
  const unknownKinds: string[] = []
  const refused: Received['refused'] = []
  let lot = emptyLot()
  for (const [index, message] of messages.entries()) {
    if (message.topic === probeTopic(ctx.config.fleet)) {
      const probed = await takeProbe(ctx, message.payload)
      if (!probed.ok) refused.push({ index, reason: probed.refusal })
      continue
    }
    const opened = await openMessage(ctx, message)
    if (!opened.ok) {
      refused.push({ index, reason: opened.refusal })
      continue
    }
    if (opened.value.form === 'report') lot.reports.push(opened.value.report)
    else if (opened.value.form === 'greeting') lot.greetings.push(opened.value.report)
    else unknownKinds.push(opened.value.report.body.kind)
    lot.sizeBytes += opened.value.sizeBytes
    if (lot.sizeBytes > limits.ingestOpenedBytesMax) {
      await recordLot(ctx, lot)
      lot = emptyLot()
    }
  }
  if (unknownKinds.length > 0) ctx.log.write('warn', 'ingest.unknown-kind', { count: unknownKinds.length, first: unknownKinds[0], requestId: ctx.requestId })
  if (refused.length > 0) ctx.log.write('warn', 'ingest.refused', { count: refused.length, first: refused[0], requestId: ctx.requestId })
  await recordLot(ctx, lot)
  return { accepted: messages.length - refused.length, refused }
}

async function recordLot(ctx: Ctx, { reports, greetings }: Lot): Promise<void> {
  if (reports.length + greetings.length > 0) {
    const folded = foldReports(reports, greetings)
    const results = await ctx.db.write([...recordReports(ctx, folded), webhooksBehind, heedAlarms(ctx, { sql: 'SELECT value FROM json_each(?)', args: [JSON.stringify(alarmedIn(folded))] })])
    const [webhooks, heeded] = results.slice(-2).map(({ rows }) => rows)
    const advanced = await advanceTouched(ctx, folded, heeded!.map(({ id }) => String(id)))
    // the reports are recorded: whatever keeps this from its end, the schedule goes on with it
    if (folded.follows.length > 0) await tellMonitoring(ctx).catch((error: unknown) => ctx.log.write('warn', 'monitoring.tell-failed', { requestId: ctx.requestId, cause: describeError(error) }))
    if (endedIn(folded).length + folded.hellos.length + folded.follows.length + folded.resend.length + folded.positions.length > 0) await dispatchDirectives(ctx)
    const { behind } = webhooks![0]!
    if (behind === 1 || (behind !== null && advanced)) wakeWebhooks(ctx)
  }
}

const keyCacheMax = 20_000
const keys = new WeakMap<Uint8Array, Map<string, Uint8Array>>()

/** Report keys are derived, not read: what is kept here is a copy of a computation. */
async function reportKey(ctx: Ctx, keyid: string): Promise<Uint8Array | null> {
  const secret = ctx.keys.ingestSecret()
  const derived = keys.get(secret) ?? new Map<string, Uint8Array>()
  keys.set(secret, derived)
  const known = derived.get(keyid)
  if (known !== undefined) return known
  const [fleet = '', site = '', incarnation = ''] = keyid.split('/')
  if (fleet !== ctx.config.fleet || !SiteId.safeParse(site).success || !/^[1-9]\d{0,8}$/.test(incarnation)) return null
  const key = await deriveReportKey(ctx.crypto, secret, fleet as FleetId, site as SiteId, Number(incarnation))
  if (derived.size >= keyCacheMax) derived.clear()
  derived.set(keyid, key)
  return key
}

/** What came of a message, and how long it was as JSON: a report; or, from an agent newer than this controller, the greeting of its hello or no more than its kind. */
type Opened = { sizeBytes: number } & ({ form: 'report'; report: Report } | { form: 'greeting'; report: Greeting } | { form: 'unknown'; report: UnknownReport })
const overLimit = 'over its limit'

/** The report in a message, or why it is not believed: the topic's site, the key's and the report's must be one and the same (D3). */
async function openMessage(ctx: Ctx, message: IncomingMessage): Promise<Result<Opened, string>> {
  const topic = parseUpTopic(ctx.config.fleet, message.topic)
  if (topic === null) return refuse('not a topic of this fleet')
  if (message.payload.length > limits.mqttMessageBytesMax) return refuse(overLimit)
  let envelope: Envelope
  try {
    envelope = JSON.parse(fromUtf8(message.payload)) as Envelope
  } catch {
    return refuse('not UTF-8 JSON')
  }
  const keyid = envelope?.signatures?.[0]?.keyid
  const key = typeof keyid === 'string' ? await reportKey(ctx, keyid) : null
  const opened = await openReport(ctx.crypto, ctx.gunzip, envelope, () => key)
  if (!opened.ok) return refuse(opened.refusal.reason === 'over-limit' ? overLimit : opened.refusal.reason)
  const parsed = parseReport(opened.value.payload)
  if (!parsed.ok) return parsed
  const { report } = parsed.value
  if (report.site !== topic.site) return refuse('about another site than its topic')
  if (opened.value.keyid !== reportKeyId(report.fleet, report.site, report.incarnation)) return refuse('about another site than its key')
  return parsed
}

/** Reads a report as far as it can be read (SPEC §3.4). A value that is not known where one of a few must stand is refused: to guess would be worse. */
function parseReport(payload: Uint8Array): Result<Opened, string> {
  const sizeBytes = payload.length
  const known = parsePayload(Report, payload)
  if (known.ok) return ok({ sizeBytes, form: 'report', report: known.value })
  const unknown = parsePayload(UnknownReport, payload)
  if (unknown.ok) return ok({ sizeBytes, form: 'unknown', report: unknown.value })
  const greeting = parsePayload(Greeting, payload)
  if (greeting.ok && standingOf(greeting.value.body.protocol, controllerProtocols) !== 'ok') return ok({ sizeBytes, form: 'greeting', report: greeting.value })
  return refuse(`malformed: ${known.refusal.detail}`)
}

/** Attempts that are over: these free places. One that goes on frees none. */
const endedIn = (folded: Folded) => folded.attempts.filter(({ event }) => event !== 'started')

/** Sites where an alarm may have been raised, or announced that was silent. */
const alarmedIn = (folded: Folded): string[] => [...new Set([...folded.alarms, ...folded.standing.filter(({ alarms }) => alarms.length > 0), ...folded.hellos, ...endedIn(folded)].map(({ site }) => site))]

/** Rollouts that may now do something: those whose attempts ended, those that an alarm stands in the way of since now (`heeded`), and those that wait for a site that said hello. Returns whether there are any. */
async function advanceTouched(ctx: Ctx, folded: Folded, heeded: readonly string[]): Promise<boolean> {
  const ended = endedIn(folded)
  const sites = new Set([...folded.hellos, ...ended].map(({ site }) => site))
  const rollouts = new Set<string>([...heeded, ...ended.map(({ rolloutId }) => rolloutId)])
  if (sites.size > 0) {
    const waiting = await ctx.db.orm.all<{ id: string }>(sql`
      SELECT DISTINCT d.rollout_id AS id FROM deployment d JOIN rollout r ON r.id = d.rollout_id
      WHERE d.site_id IN (SELECT value FROM json_each(${JSON.stringify([...sites])})) AND d.state IN ('pending', 'parked') AND r.state IN ('running', 'completed') LIMIT ${limits.rolloutsPerTickMax}`)
    for (const { id } of waiting) rollouts.add(id)
  }
  const allowance = newAllowance()
  const left: string[] = []
  for (const id of rollouts) {
    if (allowance.passes <= 0) {
      left.push(id)
      continue
    }
    try {
      await advanceRollout(ctx, id, allowance)
    } catch (error) {
      // the reports are recorded; whoever won the race, or the schedule, takes the rollout further
      if (!(error instanceof GuardLost)) ctx.log.write('error', 'rollout.advance-failed', { rollout: id, error: String(error), requestId: ctx.requestId })
    }
  }
  if (left.length > 0) await ctx.db.write([wakeRollouts(left, ctx.nowMs)])
  return rollouts.size > 0
}
