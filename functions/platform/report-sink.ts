import type { ReportSink } from '../adapters/mqtt/batch-reports.ts'
import { newContext, type Deps } from '../context.ts'
import { receiveReports } from '../ingest/receive.ts'

/** Takes reports within this process: each batch is an invocation of its own. */
export const createReportSink = (deps: Deps): ReportSink => (messages) =>
  receiveReports(newContext(deps, { name: 'controller', role: 'controller' }, deps.ids.sortable(deps.clock.nowMs())), messages)
