import * as z from 'zod'
import { Envelope } from '../envelope.ts'
import { Digest, ReleaseId } from '../ids.ts'
import { limits } from '../limits.ts'
import { Manifest } from '../manifest.ts'
import { releaseStates } from '../states.ts'
import { At, PageQuery, contract, page } from './contract.ts'

const ReleaseParams = z.strictObject({ release: ReleaseId })

export const ReleaseView = z.object({
  id: ReleaseId,
  /** Digest of the manifest's bytes: what a release *is*. */
  digest: Digest,
  kind: z.enum(['release', 'patch']),
  state: z.enum(releaseStates),
  /** What is wrong or still missing, in words; empty when available. */
  detail: z.string(),
  description: z.string(),
  activation: z.enum(['in-service', 'reboot-required']),
  components: z.array(z.object({ name: z.string(), version: z.string(), driver: z.string(), sizeBytes: z.int(), files: z.int() })),
  publisherKey: z.string(),
  contentBytes: z.int(),
  storedBytes: z.int(),
  objects: z.int(),
  objectsConfirmed: z.int(),
  createdAt: At,
  availableAt: At.nullable(),
  version: z.int(),
})
export type ReleaseView = z.infer<typeof ReleaseView>

/** A request that the object store itself answers to whoever has it, until it expires. */
export const SignedRequestView = z.object({ method: z.enum(['GET', 'PUT']), url: z.string(), headers: z.record(z.string(), z.string()), expiresAt: At })

export const releaseContracts = {
  createRelease: contract({
    id: 'createRelease', tag: 'Releases', method: 'post', path: '/v1/releases', access: 'publisher', summary: 'Announce a signed release; its bytes follow',
    /** `index` is the digest and size of the delivery index, which is itself uploaded as an object. */
    body: z.strictObject({ manifest: Envelope, index: z.strictObject({ digest: Digest, size: z.int().positive().max(limits.deliveryIndexBytesMax) }) }), response: ReleaseView, status: 201,
  }),
  listReleases: contract({ id: 'listReleases', tag: 'Releases', method: 'get', path: '/v1/releases', access: 'viewer', summary: 'List releases, newest first', query: z.strictObject({ ...PageQuery, name: z.string().max(limits.slugLengthMax).optional() }), response: page(ReleaseView) }),
  getRelease: contract({ id: 'getRelease', tag: 'Releases', method: 'get', path: '/v1/releases/{release}', access: 'viewer', summary: 'Show a release', params: ReleaseParams, response: ReleaseView, etag: true }),
  getManifest: contract({ id: 'getManifest', tag: 'Releases', method: 'get', path: '/v1/releases/{release}/manifest', access: 'viewer', summary: 'The signed manifest, and where its delivery index is', params: ReleaseParams, response: z.object({ envelope: Envelope, manifest: Manifest, index: SignedRequestView }) }),
  signUploads: contract({
    id: 'signUploads', tag: 'Releases', method: 'post', path: '/v1/releases/{release}/uploads', access: 'publisher', summary: 'Signed requests for the objects the store lacks', params: ReleaseParams, idempotencyKey: false,
    body: z.strictObject({ objects: z.array(z.strictObject({ digest: Digest, size: z.int().nonnegative().max(limits.fileBytesMax) })).min(1).max(limits.uploadsPerRequestMax) }),
    /** `parts`: the object may go in parts of that length, and so can go on after a break; a store takes at most 5 GiB in the one request of `upload`. */
    response: z.object({ objects: z.array(z.object({ digest: Digest, present: z.boolean(), upload: SignedRequestView.nullable(), parts: z.object({ partBytes: z.int().positive(), count: z.int().positive() }).optional() })) }),
  }),
  completeRelease: contract({ id: 'completeRelease', tag: 'Releases', method: 'post', path: '/v1/releases/{release}/complete', access: 'publisher', summary: 'Everything is uploaded: confirm it, then make it available', params: ReleaseParams, response: ReleaseView, status: 202 }),
  withdrawRelease: contract({ id: 'withdrawRelease', tag: 'Releases', method: 'post', path: '/v1/releases/{release}/withdraw', access: 'publisher', summary: 'No new rollout may take it; sites that run it keep it', params: ReleaseParams, body: z.strictObject({ reason: z.string().min(1).max(limits.reasonLengthMax) }), response: ReleaseView, etag: true }),
} as const
