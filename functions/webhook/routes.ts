import type { Handlers } from '../http/handler.ts'

export const webhookRoutes = {} satisfies Partial<Handlers>
