import type { Handlers } from '../http/handler.ts'

export const monitoringRoutes = {} satisfies Partial<Handlers>
