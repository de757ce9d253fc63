import type { Handlers } from '../http/handler.ts'
import { acknowledgeAlarm } from './acknowledge.ts'
import { clearAlarm } from './clear.ts'
import { getAlarm } from './get.ts'
import { getSummary } from './get-summary.ts'
import { listAlarms } from './list.ts'
import { listAlarmEvents } from './list-events.ts'
import { raiseAlarm } from './raise.ts'
import { shelveAlarm } from './shelve.ts'
import { unshelveAlarm } from './unshelve.ts'

export const alarmRoutes = {
  listAlarms: (ctx, { query }) => listAlarms(ctx, query),
  getAlarm: (ctx, { query }) => getAlarm(ctx, query),
  raiseAlarm: (ctx, { body }) => raiseAlarm(ctx, body),
  clearAlarm: (ctx, { body }) => clearAlarm(ctx, body),
  acknowledgeAlarm: (ctx, { body }) => acknowledgeAlarm(ctx, body),
  shelveAlarm: (ctx, { body }) => shelveAlarm(ctx, body),
  unshelveAlarm: (ctx, { body }) => unshelveAlarm(ctx, body),
  listAlarmEvents: (ctx, { query }) => listAlarmEvents(ctx, query),
  getSummary: (ctx) => getSummary(ctx),
} satisfies Partial<Handlers>
