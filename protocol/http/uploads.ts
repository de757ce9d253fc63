import * as z from 'zod'
import { Digest, ReleaseId } from '../ids.ts'
import { limits } from '../limits.ts'
import { contract } from './contract.ts'
import { SignedRequestView } from './releases.ts'

const ObjectParams = z.strictObject({ release: ReleaseId, digest: Digest })
const size = z.int().positive().max(limits.fileBytesMax)

/** Long objects in parts. Both operations may be repeated at any time: what the store has already is neither sent nor made again. */
export const uploadContracts = {
  signParts: contract({
    id: 'signParts', tag: 'Releases', method: 'post', path: '/v1/releases/{release}/uploads/{digest}/parts', access: 'publisher', summary: 'Signed requests for the parts of an object that the store lacks', params: ObjectParams, idempotencyKey: false,
    /** Parts count from 1; each is `partBytes` long but the last. The store checks both digests (`md5` in base64) of what comes. */
    body: z.strictObject({ size, parts: z.array(z.strictObject({ number: z.int().min(1).max(10_000), sha256: Digest, md5: z.base64().length(24) })).min(1).max(limits.partsPerRequestMax) }),
    response: z.object({ parts: z.array(z.object({ number: z.int(), present: z.boolean(), upload: SignedRequestView.nullable() })) }),
  }),
  completeUpload: contract({
    id: 'completeUpload', tag: 'Releases', method: 'put', path: '/v1/releases/{release}/uploads/{digest}', access: 'publisher', summary: 'Every part is there: make the object of them', params: ObjectParams,
    body: z.strictObject({ size }), response: z.object({ digest: Digest, size: z.int() }),
  }),
} as const
