import { fromBase64 } from '../../protocol/bytes.ts'
import type { Handlers } from '../http/handler.ts'
import { receiveReports } from './receive.ts'

type Message = { topic: string; payload: string }
const opened = (messages: readonly Message[]) => messages.map(({ topic, payload }) => ({ topic, payload: fromBase64(payload) }))

export const ingestRoutes = {
  ingest: (ctx, { body }) => receiveReports(ctx, opened(body.messages)),
  ingestWebhook: (ctx, { body }) => receiveReports(ctx, opened(Array.isArray(body) ? body : [body])),
} satisfies Partial<Handlers>
