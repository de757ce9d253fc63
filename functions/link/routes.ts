import type { Handlers } from '../http/handler.ts'
import { checkLinks } from './check-links.ts'
import { checkReadiness } from './check-readiness.ts'

export const linkRoutes = {
  health: async (ctx) => ({ status: 'ok', version: ctx.config.version }),
  ready: (ctx) => checkReadiness(ctx),
  checkLinks: (ctx) => checkLinks(ctx),
} satisfies Partial<Handlers>
