/** One POST to somebody else's server. */
export type OutgoingRequest = { url: string; headers: Record<string, string>; body: string; timeoutMs: number; answerBytesMax: number }
/** What came back: any status, a redirect too, which is never followed. `body` ends where `answerBytesMax` does. `address` is the one that was asked, null where the host cannot say. */
export type Answer = { status: number; headers: Record<string, string>; body: string; address: string | null; durationMs: number }
/** Nothing came back, or the request was never made: `forbidden` for an address that nobody may be sent to. */
export type SendFault = { code: 'forbidden' | 'unresolved' | 'unreachable' | 'tls' | 'timeout' | 'broken'; detail: string; address: string | null; durationMs: number }

/** Sends to servers that operators name, and never to private, loopback, link-local or metadata addresses, unless the settings allow them. */
export interface HttpSender {
  /** Why requests to this URL would never be made, as far as can be told now; null when they would. */
  judge(url: string): Promise<string | null>
  /** Resolves with what came back, or with why nothing did; never rejects for what a server does. */
  send(request: OutgoingRequest): Promise<Answer | SendFault>
}
