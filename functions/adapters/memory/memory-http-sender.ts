import { judgeAddresses, judgeUrl, nothingAllowed } from '../../webhook/judge-address.ts'
import type { Answer, HttpSender, OutgoingRequest, SendFault } from '../../ports/http-sender.ts'

/** A sender that keeps what it was given and reaches nobody, for tests. `answer` says what comes back; until a test says otherwise, 200. */
export type MemoryHttpSender = HttpSender & {
  requests: OutgoingRequest[]
  answer(request: OutgoingRequest): Answer | SendFault | Promise<Answer | SendFault>
}

/** What a server answers, with what a test does not care about filled in. */
export const answerOf = (status: number, more: Partial<Answer> = {}): Answer => ({ status, headers: {}, body: '', address: '192.0.2.1', durationMs: 3, ...more })

/** Judges URLs as the real senders do, as if every name had a public address. */
export function memoryHttpSender(): MemoryHttpSender {
  return {
    requests: [],
    answer: () => answerOf(200),
    async judge(url) {
      const judged = judgeUrl(url)
      if (!judged.ok) return judged.refusal
      return judgeAddresses(judged.value, judged.value.literal ? [judged.value.host] : ['8.8.8.8'], nothingAllowed)
    },
    async send(request) {
      const why = await this.judge(request.url)
      if (why !== null) return { code: 'forbidden', detail: why, address: null, durationMs: 0 }
      this.requests.push(request)
      return this.answer(request)
    },
  }
}
