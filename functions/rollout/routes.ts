import type { Handlers } from '../http/handler.ts'
import { abortRollout } from './abort.ts'
import { approveRollout } from './approve.ts'
import { createRollout } from './create.ts'
import { listDeployments } from './deployments.ts'
import { explainSite } from './explain.ts'
import { getRollout } from './get.ts'
import { listRollouts } from './list.ts'
import { pauseRollout } from './pause.ts'
import { planRollout } from './plan.ts'
import { resumeRollout } from './resume.ts'
import { retryRollout } from './retry.ts'
import { rollbackRollout } from './rollback.ts'
import { waiveDeployments } from './waive.ts'

export const rolloutRoutes = {
  createRollout: (ctx, { body }) => createRollout(ctx, body),
  planRollout: (ctx, { body }) => planRollout(ctx, body),
  listRollouts: (ctx, { query }) => listRollouts(ctx, query),
  getRollout: (ctx, { params }) => getRollout(ctx, params.rollout),
  listDeployments: (ctx, { params, query }) => listDeployments(ctx, params.rollout, query),
  pauseRollout: (ctx, { params, body, ifMatch }) => pauseRollout(ctx, params.rollout, { ...body, ifMatch }),
  resumeRollout: (ctx, { params, body, ifMatch }) => resumeRollout(ctx, params.rollout, { ...body, ifMatch }),
  approveRollout: (ctx, { params, body, ifMatch }) => approveRollout(ctx, params.rollout, { ...body, ifMatch }),
  abortRollout: (ctx, { params, body, ifMatch }) => abortRollout(ctx, params.rollout, { ...body, ifMatch }),
  retryRollout: (ctx, { params, body, ifMatch }) => retryRollout(ctx, params.rollout, { ...body, ifMatch }),
  waiveDeployments: (ctx, { params, body, ifMatch }) => waiveDeployments(ctx, params.rollout, { ...body, ifMatch }),
  rollbackRollout: (ctx, { params, body, ifMatch }) => rollbackRollout(ctx, params.rollout, { ...body, ifMatch }),
  explainSite: (ctx, { params }) => explainSite(ctx, params.site),
} satisfies Partial<Handlers>
