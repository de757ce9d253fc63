import { alarmRoutes } from '../alarm/routes.ts'
import { auditRoutes } from '../audit/routes.ts'
import { authRoutes } from '../auth/routes.ts'
import { ingestRoutes } from '../ingest/routes.ts'
import { releaseRoutes } from '../release/routes.ts'
import { rolloutRoutes } from '../rollout/routes.ts'
import { siteRoutes } from '../site/routes.ts'
import type { Handlers } from './handler.ts'
import { healthRoutes } from './health.ts'

export const handlers: Handlers = { ...siteRoutes, ...releaseRoutes, ...rolloutRoutes, ...authRoutes, ...auditRoutes, ...alarmRoutes, ...ingestRoutes, ...healthRoutes }
