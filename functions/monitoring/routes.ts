import type { Handlers } from '../http/handler.ts'
import { getSiteMonitoring } from './get-site.ts'
import { listRules } from './list-rules.ts'
import { putRule } from './put-rule.ts'
import { putSiteMonitoring } from './put-site.ts'
import { removeRule } from './remove-rule.ts'

export const monitoringRoutes = {
  putMonitoringRule: (ctx, { params, body }) => putRule(ctx, params.rule, body),
  listMonitoringRules: (ctx, { query }) => listRules(ctx, query),
  removeMonitoringRule: (ctx, { params }) => removeRule(ctx, params.rule),
  getSiteMonitoring: (ctx, { params }) => getSiteMonitoring(ctx, params.site),
  putSiteMonitoring: (ctx, { params, body }) => putSiteMonitoring(ctx, params.site, body),
} satisfies Partial<Handlers>
