import { fromUtf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { Directive, type RejectReason } from '../../protocol/directives.ts'
import { openEnvelope, parsePayload, payloadTypes, type EnvelopeRefusal } from '../../protocol/envelope.ts'
import { limits } from '../../protocol/limits.ts'
import type { RejectedReport, ReportBody } from '../../protocol/reports.ts'
import { ok, refuse, type Result } from '../../protocol/result.ts'
import { verifyingKeys, type Trust } from '../../protocol/trust.ts'
import { hold, holdRefusal, newestPosition, type HeldState } from '../held/state.ts'
import type { MqttMessage } from '../host/host.ts'
import type { JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import { explain, type Log } from '../log.ts'
import { judge, type ClockFacts, type Identity } from './judge.ts'

export type InboxParts = {
  crypto: Crypto
  log: Log
  identity: Identity
  trust: () => Trust
  /** Asks for a newer `trust.json`; says whether one was taken. */
  refreshTrust(): Promise<boolean>
  held: Store<HeldState>
  journal: Store<JournalRecord>
  /** What this boot knows about time; `issuedAtMs` of a verified directive raises the floor. */
  clock(issuedAtMs: number): Promise<ClockFacts>
  report(body: ReportBody): Promise<unknown>
  /** It is durable and may be acted upon; `waits` where its desired has not come. */
  accepted(directive: Directive, waits: boolean): Promise<void>
  /** It was accepted earlier. */
  repeated(directive: Directive): Promise<void>
  /** A grant for an attempt that is over. */
  alreadyDone(): Promise<void>
  /** The controller knows a newer incarnation of this site: this agent is a copy or a leftover. */
  fenced(newer: number): Promise<void>
}

/** Refusals after which the controller counts an attempt as not started. */
const endedLife: ReadonlySet<RejectReason> = new Set(['expired', 'wrong-boot', 'clock-untrusted'])

export interface Inbox {
  /** Handles messages one after the other, in the order they came (SPEC §3.1). Never throws. */
  receive(message: MqttMessage): Promise<void>
}

export function createInbox(parts: InboxParts): Inbox {
  let queue: Promise<void> = Promise.resolve()

  async function rejectUnreadable(reason: RejectReason, detail: string): Promise<void> {
    await parts.report({
      kind: 'rejected', reason, directive: 'unreadable', position: null, held: newestPosition(parts.held.current!), deployment: null, attempt: null, detail: detail.slice(0, limits.reasonLengthMax).toWellFormed(),
    })
  }

  /** The directive, if a fleet key signed it. An unknown key may be newer than the trust held here. */
  async function open(payload: Uint8Array): Promise<Result<Directive, { reason: string; detail: string }>> {
    const envelope = payload.length > limits.mqttMessageBytesMax ? undefined : jsonOf(payload)
    const check = () => openEnvelope(parts.crypto, envelope, payloadTypes.directive, verifyingKeys(parts.trust().fleetKeys))
    let opened = await check()
    if (!opened.ok && opened.refusal.reason === 'unknown-key' && (await parts.refreshTrust())) opened = await check()
    if (!opened.ok) return refuse({ reason: reasonOf(opened.refusal), detail: JSON.stringify(opened.refusal) })
    const parsed = parsePayload(Directive, opened.value.payload)
    return parsed.ok ? ok(parsed.value) : parsed
  }

  async function handle(message: MqttMessage): Promise<void> {
    const opened = await open(message.payload)
    if (!opened.ok) return rejectUnreadable(opened.refusal.reason as RejectReason, opened.refusal.detail)
    const directive = opened.value
    const { identity, held } = parts
    const forUs = directive.fleet === identity.fleet && directive.site === identity.site
    if (forUs && directive.incarnation > identity.incarnation) await parts.fenced(directive.incarnation)
    if (forUs && directive.trustVersion > parts.trust().version) void parts.refreshTrust()
    const clock = await parts.clock(forUs ? directive.issuedAtMs : 0)
    const verdict = judge(directive, message.retained, held.current!, clock, identity, parts.journal.current)
    parts.log('info', 'directive', { kind: directive.kind, position: directive.position, requestId: directive.requestId, verdict: verdict.kind, ...(verdict.kind === 'refuse' ? { reason: verdict.reason } : {}) })
    switch (verdict.kind) {
      case 'accept':
      case 'wait':
        await held.update((state) => ({ ...hold(state, directive), timeFloorMs: Math.max(state.timeFloorMs, directive.issuedAtMs) }))
        return parts.accepted(directive, verdict.kind === 'wait')
      case 'repeat':
        return parts.repeated(directive)
      case 'refuse':
        if (directive.kind === 'grant' && endedLife.has(verdict.reason)) await held.update((state) => holdRefusal(state, directive.position))
        await parts.report(rejectedOf(directive, verdict, held.current!))
        if (verdict.reason === 'already-done') await parts.alreadyDone()
    }
  }

  return {
    receive(message) {
      queue = queue.then(() => handle(message)).catch((error: unknown) => parts.log('error', 'directive-not-handled', { error: explain(error) }))
      return queue
    },
  }
}

/** What a site says about a directive it did not follow. */
export const rejectedOf = (directive: Directive, refusal: { reason: RejectReason; detail: string }, held: HeldState): RejectedReport => ({
  kind: 'rejected', reason: refusal.reason, directive: directive.kind, position: directive.position, held: newestPosition(held),
  deployment: directive.kind === 'command' ? (directive.body.type === 'abort' ? directive.body.deployment : null) : directive.deployment,
  attempt: directive.kind === 'grant' ? directive.attempt : directive.kind === 'command' && directive.body.type === 'abort' ? directive.body.attempt : null,
  detail: refusal.detail.slice(0, limits.reasonLengthMax).toWellFormed(),
})

function jsonOf(payload: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(payload))
  } catch {
    return undefined
  }
}

const reasonOf = (refusal: EnvelopeRefusal): RejectReason => (refusal.reason === 'bad-signature' || refusal.reason === 'unknown-key' ? 'bad-signature' : 'malformed')
