import type { Hono } from 'hono'
import { boundObjectStore } from '../adapters/bound-object-store.ts'
import { createR2ObjectStore } from '../adapters/cloudflare/r2-object-store.ts'
import { createObjectRoute } from '../http/object-route.ts'
import { createObjectSigner, type ObjectSigning } from '../http/sign-object-url.ts'
import type { ObjectStore } from '../ports/object-store.ts'
import { openS3 } from './s3-access.ts'
import type { WorkerBindings, WorkerSettings } from './worker-env.ts'

/**
 * The bound bucket. With the S3 settings its own S3 endpoint signs what clients send and fetch, and no byte of theirs passes
 * through a function; without them (local R2 signs nothing) `route` serves signed URLs of ours.
 */
export function openWorkerObjectStore(settings: WorkerSettings, bindings: WorkerBindings, signing: ObjectSigning): { store: ObjectStore; route: Hono | null } {
  const s3 = openS3(settings, signing)
  const bucket = boundObjectStore(createR2ObjectStore({ bucket: bindings.OBJECTS, crypto: signing.crypto, signer: s3 ?? createObjectSigner(signing) }))
  if (s3 === null) return { store: bucket, route: createObjectRoute({ store: bucket, ...signing }) }
  return { store: { ...bucket, parts: s3.parts, unfinished: s3.unfinished }, route: null }
}
