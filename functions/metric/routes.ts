import type { Handlers } from '../http/handler.ts'

export const metricRoutes = {} satisfies Partial<Handlers>
