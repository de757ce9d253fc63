import { z } from 'zod'
import { fromBase64 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { Ctx } from '../context.ts'
import { receiveReports, type IncomingMessage, type Received } from './receive.ts'

const Payload = z.base64().max(limits.envelopeBytesMax)

/**
 * Messages as a rule of the broker sends them. One whose payload is not base64 is refused by itself, so that those beside
 * it are not lost; when none is base64, the rule is wrong, and `bad-request` makes that stand out at the broker.
 */
export async function receiveWebhook(ctx: Ctx, messages: readonly { topic: string; payload: string }[]): Promise<Received> {
  const malformed = new Map<number, string>()
  const opened: { index: number; message: IncomingMessage }[] = []
  for (const [index, { topic, payload }] of messages.entries()) {
    const parsed = Payload.safeParse(payload)
    if (parsed.success) opened.push({ index, message: { topic, payload: fromBase64(parsed.data) } })
    else malformed.set(index, parsed.error.issues.some(({ code }) => code === 'too_big') ? 'over its limit' : 'the payload is not base64: let the rule encode it')
  }
  if (opened.length === 0) {
    const errors = [...malformed].map(([index, message]) => ({ path: `${index}.payload`, message }))
    throw new FleetError('bad-request', `no message could be read: ${errors[0]!.message}`, { reason: 'payload', errors: errors.slice(0, 50) })
  }
  const { accepted, refused } = await receiveReports(ctx, opened.map(({ message }) => message))
  const all = [...refused.map(({ index, reason }) => ({ index: opened[index]!.index, reason })), ...[...malformed].map(([index, reason]) => ({ index, reason }))]
  return { accepted, refused: all.sort((a, b) => a.index - b.index) }
}
