import { toHex, utf8 } from '../../protocol/bytes.ts'
import { monitoringText, type MonitoringSettings } from '../../protocol/monitoring.ts'
import type { Ctx } from '../context.ts'

/** What names a set of settings, here and at the agent that follows it. */
export const digestMonitoring = async (ctx: Pick<Ctx, 'crypto'>, settings: MonitoringSettings): Promise<string> => toHex(await ctx.crypto.sha256(utf8(monitoringText(settings))))
