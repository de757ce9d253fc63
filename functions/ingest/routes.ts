import { fromBase64 } from '../../protocol/bytes.ts'
import type { Handlers } from '../http/handler.ts'
import { receiveReports } from './receive.ts'

export const ingestRoutes = { ingest: (ctx, { body }) => receiveReports(ctx, body.messages.map(({ topic, payload }) => ({ topic, payload: fromBase64(payload) }))) } satisfies Partial<Handlers>
