import { fromBase64 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import { DeliveredMessage } from '../../protocol/http/ingress.ts'
import type { Ctx } from '../context.ts'
import { receiveReports, type IncomingMessage, type Received } from './receive.ts'

/**
 * Messages as a rule of the broker sends them. One that is not of the form is refused by itself, so that those beside it
 * are not lost; when none is, the rule is wrong, and `bad-request` makes that stand out at the broker.
 */
export async function receiveWebhook(ctx: Ctx, messages: readonly unknown[]): Promise<Received> {
  const malformed = new Map<number, string>()
  const opened: { index: number; message: IncomingMessage }[] = []
  for (const [index, delivered] of messages.entries()) {
    const parsed = DeliveredMessage.safeParse(delivered)
    if (parsed.success) opened.push({ index, message: { topic: parsed.data.topic, payload: fromBase64(parsed.data.payload) } })
    else malformed.set(index, reasonOf(parsed.error.issues[0]!))
  }
  if (opened.length === 0) {
    const errors = [...malformed].map(([index, message]) => ({ path: String(index), message }))
    throw new FleetError('bad-request', `no message could be read: ${errors[0]!.message}`, { reason: 'payload', errors: errors.slice(0, 50) })
  }
  const { accepted, refused } = await receiveReports(ctx, opened.map(({ message }) => message))
  const all = [...refused.map(({ index, reason }) => ({ index: opened[index]!.index, reason })), ...[...malformed].map(([index, reason]) => ({ index, reason }))]
  return { accepted, refused: all.sort((a, b) => a.index - b.index) }
}

function reasonOf({ code, path }: { code: string; path: PropertyKey[] }): string {
  if (code === 'too_big') return 'over its limit'
  return path[0] === 'topic' ? 'it has no topic' : 'the payload is not base64: let the rule encode it'
}
