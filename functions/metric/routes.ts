import type { Handlers } from '../http/handler.ts'
import { listCapacity } from './capacity.ts'
import { getFleetUsage } from './fleet-usage.ts'
import { getLive, startLive } from './live.ts'
import { getSiteUsage } from './site-usage.ts'

export const metricRoutes = {
  getSiteUsage: (ctx, { params, query }) => getSiteUsage(ctx, params.site, query),
  getFleetUsage: (ctx, { query }) => getFleetUsage(ctx, query),
  listCapacity: (ctx, { query }) => listCapacity(ctx, query),
  startLive: (ctx, { params }) => startLive(ctx, params.site),
  getLive: (ctx, { params }) => getLive(ctx, params.site),
} satisfies Partial<Handlers>
