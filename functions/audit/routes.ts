import type { Handlers } from '../http/handler.ts'
import { listEvents } from './list.ts'

export const auditRoutes = { listEvents: (ctx, { query }) => listEvents(ctx, query) } satisfies Partial<Handlers>
