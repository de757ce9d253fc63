import type { Handlers } from '../http/handler.ts'
import { createWebhook } from './create.ts'
import { getDelivery } from './get-delivery.ts'
import { listDeliveries } from './list-deliveries.ts'
import { listWebhooks } from './list.ts'
import { loadWebhook } from './load.ts'
import { removeWebhook } from './remove.ts'
import { replayDeliveries } from './replay.ts'
import { rotateWebhook } from './rotate.ts'
import { testWebhook } from './test.ts'
import { updateWebhook } from './update.ts'
import { viewWebhook } from './view.ts'

export const webhookRoutes = {
  createWebhook: (ctx, { body }) => createWebhook(ctx, body),
  listWebhooks: (ctx, { query }) => listWebhooks(ctx, query),
  getWebhook: async (ctx, { params }) => viewWebhook(ctx, await loadWebhook(ctx, params.webhook)),
  updateWebhook: (ctx, { params, body, ifMatch }) => updateWebhook(ctx, params.webhook, { ...body, ifMatch }),
  removeWebhook: (ctx, { params, ifMatch }) => removeWebhook(ctx, params.webhook, { ifMatch }),
  rotateWebhook: (ctx, { params, body }) => rotateWebhook(ctx, params.webhook, body.keepOldFor),
  testWebhook: (ctx, { params, body }) => testWebhook(ctx, params.webhook, body.message),
  listDeliveries: (ctx, { params, query }) => listDeliveries(ctx, params.webhook, query),
  getDelivery: (ctx, { params }) => getDelivery(ctx, params.webhook, params.delivery),
  replayDeliveries: (ctx, { params, body }) => replayDeliveries(ctx, params.webhook, body),
} satisfies Partial<Handlers>
