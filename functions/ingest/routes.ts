import { fromBase64 } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'
import type { Handlers } from '../http/handler.ts'
import { confirmIngress } from './confirm.ts'
import { receiveReports } from './receive.ts'
import { receiveWebhook } from './receive-webhook.ts'
import { recordGap } from './record-gap.ts'

export const ingestRoutes = {
  ingest: async (ctx, { body }) => {
    if (body.gap !== undefined) await recordGap(ctx, body.gap)
    return receiveReports(ctx, body.messages.map(({ topic, payload }) => ({ topic, payload: fromBase64(payload) })))
  },
  ingestWebhook: (ctx, { body }) => receiveWebhook(ctx, Array.isArray(body) ? body : [body]).catch(keepWithBroker),
  confirmIngress: (ctx, { body }) => confirmIngress(ctx, body),
} satisfies Partial<Handlers>

/** Brokers try again after 429 and 503 and throw away what any other status answers: nothing was recorded, so nothing may be lost. */
function keepWithBroker(error: unknown): never {
  throw error instanceof FleetError ? error : new FleetError('unavailable', 'the reports were not recorded; send them again', { reason: 'not-recorded', cause: error })
}
