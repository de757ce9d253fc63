import { toBase64 } from '../../../protocol/bytes.ts'
import type { BodyInput } from '../../../protocol/http/contract.ts'
import { ingressContracts } from '../../../protocol/http/ingress.ts'
import type { Log } from '../../ports/log.ts'
import type { IncomingMessage, ReportSink } from './batch-reports.ts'

const contract = ingressContracts.ingest

/**
 * Hands reports to a controller over HTTPS, with a token of the role `ingest`. Rejects while the controller cannot be
 * reached, has a part that is away (503), or does not let it in, so that the batch comes again. A message that the
 * controller can never take (not of the contract's form) is dropped with a word in the log; it must not stop those behind it.
 */
export function createHttpSink(options: { controllerUrl: string; token: string; log: Log; timeoutMs?: number }): ReportSink {
  const { token, log, timeoutMs = 30_000 } = options
  const url = `${options.controllerUrl.replace(/\/+$/, '')}${contract.path}`

  async function post(body: BodyInput<typeof contract>): Promise<number> {
    const headers = { 'authorization': `Bearer ${token}`, 'content-type': 'application/json' }
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(timeoutMs) })
    const text = await response.text()
    if (response.ok) {
      const answer = contract.response.parse(JSON.parse(text))
      for (const { index, reason } of answer.refused) log.write('warn', 'report.refused', { topic: body.messages[index]?.topic, reason })
    }
    return response.status
  }
  const isMalformed = (status: number): boolean => status === 400 || status === 413 || status === 422
  const notTaken = (status: number): Error => new Error(`the controller answered ${status} to POST ${contract.path}`)

  async function take(messages: readonly IncomingMessage[]): Promise<void> {
    const status = await post({ messages: messages.map(({ topic, payload }) => ({ topic, payload: toBase64(payload) })) })
    if (status === contract.status) return
    if (!isMalformed(status)) throw notTaken(status)
    if (messages.length === 1) return log.write('error', 'report.dropped', { topic: messages[0]!.topic, sizeBytes: messages[0]!.payload.length, status })
    const half = messages.length >> 1
    await take(messages.slice(0, half))
    await take(messages.slice(half))
  }

  return {
    take,
    async gap(cause) {
      const status = await post({ messages: [], gap: cause })
      if (status === contract.status) return
      if (!isMalformed(status)) throw notTaken(status)
      // a controller of an older version: the roll call that follows has to do
      log.write('warn', 'gap.not-understood', { cause, status })
    },
  }
}
