import type { Handlers } from '../http/handler.ts'
import { certify } from './certify.ts'
import { claimSite } from './claim.ts'
import { createSite } from './create.ts'
import { enrol } from './enrol.ts'
import { renewEnrolment } from './enrolment.ts'
import { getSite } from './get.ts'
import { listSites } from './list.ts'
import { lockNode, unlockNode } from './lock.ts'
import { removeSite } from './remove.ts'
import { updateSite } from './update.ts'

export const siteRoutes = {
  createSite: (ctx, { body }) => createSite(ctx, body),
  listSites: (ctx, { query }) => listSites(ctx, query),
  getSite: (ctx, { params }) => getSite(ctx, params.site),
  updateSite: (ctx, { params, body, ifMatch }) => updateSite(ctx, params.site, { ...body, ifMatch }),
  removeSite: (ctx, { params, ifMatch }) => removeSite(ctx, params.site, { ifMatch }),
  claimSite: (ctx, { params }) => claimSite(ctx, params.site),
  lockNode: (ctx, { params, body }) => lockNode(ctx, params.site, params.node, body.reason),
  unlockNode: (ctx, { params }) => unlockNode(ctx, params.site, params.node),
  enrol: (ctx, { body }) => enrol(ctx, body),
  renewEnrolment: (ctx) => renewEnrolment(ctx),
  certify: (ctx, { body }) => certify(ctx, body.request),
} satisfies Partial<Handlers>
