import type { Handlers } from '../http/handler.ts'
import { listDifferences } from './list.ts'
import { rememberRelease } from './remember-release.ts'

export const restoreRoutes = {
  listDifferences: (ctx, { query }) => listDifferences(ctx, query),
  rememberRelease: (ctx, { body }) => rememberRelease(ctx, body),
} satisfies Partial<Handlers>
