import { alarmRoutes } from '../alarm/routes.ts'
import { auditRoutes } from '../audit/routes.ts'
import { authRoutes } from '../auth/routes.ts'
import { ingestRoutes } from '../ingest/routes.ts'
import { linkRoutes } from '../link/routes.ts'
import { releaseRoutes } from '../release/routes.ts'
import { restoreRoutes } from '../restore/routes.ts'
import { rolloutRoutes } from '../rollout/routes.ts'
import { siteRoutes } from '../site/routes.ts'
import type { Handlers } from './handler.ts'

export const handlers: Handlers = { ...siteRoutes, ...releaseRoutes, ...rolloutRoutes, ...restoreRoutes, ...authRoutes, ...auditRoutes, ...alarmRoutes, ...ingestRoutes, ...linkRoutes }
