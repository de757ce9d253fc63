import type { Handlers } from '../http/handler.ts'
import { clearAlarm } from './clear.ts'
import { listAlarms } from './list.ts'
import { raiseAlarm } from './raise.ts'

export const alarmRoutes = {
  listAlarms: (ctx, { query }) => listAlarms(ctx, query),
  raiseAlarm: (ctx, { body }) => raiseAlarm(ctx, body),
  clearAlarm: (ctx, { body }) => clearAlarm(ctx, body),
} satisfies Partial<Handlers>
