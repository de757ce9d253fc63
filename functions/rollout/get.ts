import type { RolloutView } from '../../protocol/http/rollouts.ts'
import type { Ctx } from '../context.ts'
import { viewRollout } from './view.ts'

/** One rollout with its waves, counts and what each gate waits for. */
export const getRollout = (ctx: Ctx, id: string): Promise<RolloutView> => viewRollout(ctx, id)
