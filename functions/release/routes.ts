import type { Handlers } from '../http/handler.ts'
import { collectReleases } from './collect.ts'
import { completeRelease } from './complete.ts'
import { createRelease } from './create.ts'
import { listReleases } from './list.ts'
import { loadRelease } from './load.ts'
import { getAgentManifest, getManifest } from './manifest.ts'
import { signDownloads } from './sign-downloads.ts'
import { signUploads } from './sign-uploads.ts'
import { completeUpload, signParts } from './upload-parts.ts'
import { viewRelease } from './view.ts'
import { withdrawRelease } from './withdraw.ts'

export const releaseRoutes = {
  createRelease: (ctx, { body }) => createRelease(ctx, body),
  listReleases: (ctx, { query }) => listReleases(ctx, query),
  getRelease: async (ctx, { params }) => viewRelease(await loadRelease(ctx, params.release)),
  getManifest: (ctx, { params }) => getManifest(ctx, params.release),
  signUploads: (ctx, { params, body }) => signUploads(ctx, params.release, body),
  signParts: (ctx, { params, body }) => signParts(ctx, params, body),
  completeUpload: (ctx, { params, body }) => completeUpload(ctx, params, body),
  collectReleases: (ctx, { body }) => collectReleases(ctx, body),
  completeRelease: (ctx, { params }) => completeRelease(ctx, params.release),
  withdrawRelease: (ctx, { params, body, ifMatch }) => withdrawRelease(ctx, params.release, { ...body, ifMatch }),
  getAgentManifest: (ctx, { params }) => getAgentManifest(ctx, params.digest),
  signDownloads: (ctx, { body }) => signDownloads(ctx, body),
} satisfies Partial<Handlers>
