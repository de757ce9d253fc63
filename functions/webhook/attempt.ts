import type { DeliveryRow, WebhookRow } from '../../db/schema/webhook.ts'
import { at } from '../../protocol/http/contract.ts'
import type { DeliveryAttempt } from '../../protocol/http/webhooks.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { describeError } from '../http/describe-error.ts'
import type { Answer, SendFault } from '../ports/http-sender.ts'
import { judgeAnswer, type Verdict } from './judge-answer.ts'
import { renderMessage } from './render.ts'
import { openTarget } from './secrets.ts'
import { signMessage } from './sign.ts'

export type Tried = { attempt: DeliveryAttempt; verdict: Verdict }

const keptCharacters = 1024
const headersKeptMax = 30
const headerCharactersMax = 200
const secretive = /authori[sz]ation|cookie|secret|token|password|api-?key/i

/** Headers as the log keeps them: not all, not whole, and nothing that lets somebody in. */
const keptHeaders = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).slice(0, headersKeptMax).map(([name, value]) => [name.slice(0, headerCharactersMax), secretive.test(name) ? '…' : value.slice(0, headerCharactersMax)]))

/**
 * Sends one message once: its id is the same each time, its timestamp and signatures are of now (F66). Never throws: what goes wrong on this side is an attempt that
 * failed, too.
 */
export async function attemptDelivery(ctx: Ctx, webhook: WebhookRow, message: Pick<DeliveryRow, 'id' | 'events' | 'createdMs'>, timeoutMs: number): Promise<Tried> {
  const startedMs = ctx.clock.nowMs()
  let requestHeaders: Record<string, string> = {}
  let answer: Answer | SendFault
  try {
    const target = await openTarget(ctx, webhook.id, webhook.target)
    const { url, headers, body } = renderMessage({ format: webhook.format, target, fleet: ctx.config.fleet }, { id: message.id, events: message.events, createdMs: message.createdMs })
    requestHeaders = { ...headers, ...(await signMessage(ctx, webhook, { id: message.id, timestampS: Math.floor(startedMs / 1000), body })) }
    answer = await ctx.http.send({ url, headers: requestHeaders, body, timeoutMs, answerBytesMax: limits.webhookAnswerBytesMax })
  } catch (error) {
    ctx.log.write('error', 'webhook.attempt-failed', { webhook: webhook.id, delivery: message.id, requestId: ctx.requestId, cause: describeError(error) })
    answer = { code: 'broken', detail: error instanceof Error ? error.message : String(error), address: null, durationMs: Math.max(0, ctx.clock.nowMs() - startedMs) }
  }
  const cameBack = 'status' in answer
    ? { status: answer.status, error: null, responseHeaders: keptHeaders(answer.headers), responseBody: answer.body.slice(0, keptCharacters) }
    : { status: null, error: `${answer.code}: ${answer.detail}`.slice(0, limits.reasonLengthMax), responseHeaders: {}, responseBody: '' }
  const attempt: DeliveryAttempt = { at: at(startedMs), durationMs: Math.round(answer.durationMs), address: answer.address, requestHeaders: keptHeaders(requestHeaders), ...cameBack }
  return { attempt, verdict: judgeAnswer(answer, ctx.clock.nowMs()) }
}
