import * as z from 'zod'
import { limits } from '../limits.ts'
import { contract } from './contract.ts'

/** One message as the broker had it: its topic, and its bytes in base64. */
const Message = { topic: z.string().max(500), payload: z.base64().max(limits.envelopeBytesMax) }
/** Each is refused by itself for what is wrong with it: the others of its array must not be lost with it. */
const Delivered = z.looseObject({ topic: z.unknown(), payload: z.unknown() })
/** What a delivered message must be to be read. */
export const DeliveredMessage = z.looseObject(Message)
const taken = z.object({ accepted: z.int(), refused: z.array(z.object({ index: z.int(), reason: z.string() })) })

/** How reports come in where nobody listens on the controller's behalf, or somebody listens elsewhere. All are safe to repeat. */
export const ingressContracts = {
  ingest: contract({
    id: 'ingest', tag: 'Ingress', method: 'post', path: '/v1/ingest', access: 'ingest', summary: 'Reports from a broker, in a batch; safe to repeat', bodyBytesMax: limits.ingestBodyBytesMax, idempotencyKey: false,
    body: z.strictObject({
      messages: z.array(z.strictObject(Message)).max(limits.ingestBatchMax),
      /** Whoever listens has just begun, or lost its broker for a while: it may have missed last wills, so sites are `unknown` until their hello. */
      gap: z.enum(['started', 'reconnected']).optional(),
    }),
    response: taken,
  }),
  ingestWebhook: contract({
    id: 'ingestWebhook', tag: 'Ingress', method: 'post', path: '/v1/ingest/webhook', access: 'ingest', summary: 'Reports from a rule or webhook of the broker itself, one or several; safe to repeat', bodyBytesMax: limits.ingestBodyBytesMax, idempotencyKey: false,
    /** Brokers add fields of their own, which are not looked at. */
    body: z.union([Delivered, z.array(Delivered).min(1).max(limits.ingestBatchMax)]),
    response: taken,
  }),
  /** AWS IoT adds `/?confirmationToken=…` to the confirmation URL that its rule names, which is the one of `ingestWebhook`. */
  confirmIngress: contract({
    id: 'confirmIngress', tag: 'Ingress', method: 'post', path: '/v1/ingest/webhook/', access: 'public', summary: "AWS IoT asks whether its rule may send reports here; obeyed for this controller's own account only", bodyBytesMax: limits.confirmationBytesMax, idempotencyKey: false,
    query: z.strictObject({ confirmationToken: z.string().max(limits.confirmationBytesMax).optional() }),
    body: z.looseObject({ messageType: z.literal('DestinationConfirmation'), arn: z.string().max(300), enableUrl: z.string().max(limits.confirmationBytesMax) }),
    response: z.object({ confirmed: z.literal(true) }),
  }),
} as const
