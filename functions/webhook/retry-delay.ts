import { limits } from '../../protocol/limits.ts'
import { hashOf } from './hash.ts'

/**
 * How long to wait after attempt number `attempt` of a message failed, in milliseconds: anything up to the step of that attempt (full jitter), the last step
 * again and again after that. The same message and attempt give the same delay, so that a run that is repeated plans the same.
 */
export function retryDelayMs(deliveryId: string, attempt: number): number {
  const steps = limits.webhookRetryMs
  const stepMs = steps[Math.min(attempt, steps.length) - 1]!
  return 1 + Math.floor((hashOf(`${deliveryId}/${attempt}`) / 2 ** 32) * stepMs)
}
