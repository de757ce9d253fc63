import { join } from 'node:path'
import type { Hono } from 'hono'
import { boundObjectStore } from '../adapters/bound-object-store.ts'
import { createDiskObjectStore } from '../adapters/node/disk-object-store.ts'
import { createObjectRoute } from '../http/object-route.ts'
import { createObjectSigner, type ObjectSigning } from '../http/sign-object-url.ts'
import type { ObjectStore } from '../ports/object-store.ts'
import type { NodeSettings } from './env.ts'
import { openS3 } from './s3-access.ts'

/** The bucket of the settings, else a directory. `route` serves what the directory holds; a store that signs URLs of its own has none. */
export function openNodeObjectStore(settings: NodeSettings, signing: ObjectSigning): { store: ObjectStore; route: Hono | null } {
  const s3 = openS3(settings, signing)
  if (s3 !== null) return { store: s3, route: null }
  const disk = boundObjectStore(createDiskObjectStore({ root: join(settings.MURMUR_DATA, 'objects'), signer: createObjectSigner(signing) }))
  return { store: disk, route: createObjectRoute({ store: disk, ...signing }) }
}
