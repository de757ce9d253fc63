import type { ReportSink } from '../adapters/mqtt/batch-reports.ts'
import { newContext, type Ctx, type Deps } from '../context.ts'
import { receiveReports } from '../ingest/receive.ts'
import { recordGap } from '../ingest/record-gap.ts'

/** Takes reports within this process: each batch is an invocation of its own. */
export function createReportSink(deps: Deps): ReportSink {
  const invocation = (): Ctx => newContext(deps, { name: 'controller', role: 'controller' }, deps.ids.sortable(deps.clock.nowMs()))
  return { take: (messages) => receiveReports(invocation(), messages), gap: (cause) => recordGap(invocation(), cause) }
}
