import { agentContracts } from '../../protocol/http/agent.ts'
import type { Clock } from '../host/host.ts'
import type { TrustStore } from '../identity.ts'
import { explain, type Log } from '../log.ts'
import type { Controller } from './controller.ts'

/** Whatever unknown keys sign, the controller is not asked more often. */
const askEveryMs = 60_000

/** Asks for a newer `trust.json`; the function says whether one was taken, and never throws. */
export function createTrustRefresh(parts: { clock: Clock; controller: Controller; trust: TrustStore; log: Log; life: AbortSignal }): () => Promise<boolean> {
  let askedMs = Number.NEGATIVE_INFINITY
  return async () => {
    if (parts.clock.monotonicMs() - askedMs < askEveryMs) return false
    askedMs = parts.clock.monotonicMs()
    try {
      const taken = await parts.trust.offer(await parts.controller.call(agentContracts.getTrust, {}, parts.life))
      if (taken) parts.log('info', 'trust-taken', { version: parts.trust.current.version })
      return taken
    } catch (error) {
      parts.log('warn', 'trust-not-taken', { error: explain(error) })
      return false
    }
  }
}
