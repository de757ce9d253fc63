import { FleetError } from '../../../protocol/errors.ts'
import type { IngressConfirmation } from '../../ports/broker.ts'
import type { AwsIotOptions } from './options.ts'
import { judgeConfirmation } from './judge-confirmation.ts'

const requestMs = 5000

/** Confirms a destination of topic rules that points to this controller: one request, whose answer is not read. Throws `forbidden` for any other. */
export async function confirmDestination(options: AwsIotOptions, confirmation: IngressConfirmation): Promise<void> {
  const judged = judgeConfirmation(options, options.controlEndpoint, confirmation)
  if (!judged.ok) throw new FleetError('forbidden', judged.refusal, { reason: 'confirmation' })
  const response = await fetch(judged.value, { redirect: 'manual', signal: AbortSignal.timeout(requestMs) }).catch((cause: unknown) => {
    throw new FleetError('unavailable', 'AWS IoT did not answer; ask for another confirmation with `murmur infra aws`', { reason: 'broker', cause })
  })
  await response.body?.cancel()
  if (!response.ok) throw new FleetError('unavailable', `AWS IoT answered ${response.status}; ask for another confirmation with \`murmur infra aws\``, { reason: 'broker' })
}
