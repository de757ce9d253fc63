import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'
import type { Folded } from './fold.ts'

/** Blocks and live samples of sites. */
export function metricStatements(_ctx: Ctx, _folded: Pick<Folded, 'metrics' | 'lives'>): Statement[] {
  return []
}
