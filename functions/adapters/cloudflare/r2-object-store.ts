import { toHex } from '../../../protocol/bytes.ts'
import type { Crypto } from '../../../protocol/crypto.ts'
import { FleetError } from '../../../protocol/errors.ts'
import type { StreamedObjects } from '../../http/object-route.ts'
import type { ByteRange, ObjectStore } from '../../ports/object-store.ts'
import { digestMismatch, tooLarge, wrongOffset } from '../object-fault.ts'
import { checkObjectKey } from '../object-key.ts'

/** The part of an R2 bucket's binding that is used. */
export interface R2Bucket {
  head(key: string): Promise<{ size: number } | null>
  get(key: string, options?: { range: { offset: number; length: number } }): Promise<{ size: number; body: ReadableStream<Uint8Array>; arrayBuffer(): Promise<ArrayBuffer> } | null>
  put(key: string, value: ReadableStream<Uint8Array> | Uint8Array, options: { sha256: string }): Promise<unknown>
  delete(keys: string[]): Promise<void>
}

/** R2 deletes at most this many objects in one call. */
const deletesMax = 1000

/**
 * Objects in an R2 bucket. R2 compares the SHA-256 itself and shows nothing of an object before it is whole. Through the
 * signed route an upload is one request with a Content-Length: R2 keeps no part of a broken one, so it starts from 0
 * again, and the account's limit for the body of a Worker's request (100 MB on the smallest plan) is its longest.
 */
export function createR2ObjectStore(options: { bucket: R2Bucket; crypto: Crypto; signer: Pick<ObjectStore, 'signGet' | 'signPut'> }): ObjectStore & StreamedObjects {
  const { bucket, crypto, signer } = options
  const head = async (key: string) => {
    const facts = await bucket.head(checkObjectKey(key))
    return facts === null ? null : { size: facts.size }
  }
  /** R2 takes no range that begins behind the end. */
  const getPart = async (key: string, bytesMax: number, range: ByteRange): Promise<Uint8Array | null> => {
    const facts = await head(key)
    if (facts === null) return null
    if (range.length > bytesMax) throw tooLarge(key, range.length, bytesMax)
    const length = Math.min(range.length, facts.size - range.offset)
    if (length <= 0) return new Uint8Array(0)
    const object = await bucket.get(key, { range: { offset: range.offset, length } })
    return object === null ? null : new Uint8Array(await object.arrayBuffer())
  }
  return {
    head,
    get: async (key, bytesMax, range) => {
      if (range !== undefined) return getPart(key, bytesMax, range)
      const object = await bucket.get(checkObjectKey(key))
      if (object === null) return null
      if (object.size <= bytesMax) return new Uint8Array(await object.arrayBuffer())
      await object.body.cancel()
      throw tooLarge(key, object.size, bytesMax)
    },
    put: async (key, bytes, sha256) => {
      checkObjectKey(key)
      if (toHex(await crypto.sha256(bytes)) !== sha256) throw digestMismatch(key, sha256)
      await bucket.put(key, bytes, { sha256 })
    },
    remove: async (keys) => {
      keys.forEach(checkObjectKey)
      for (let i = 0; i < keys.length; i += deletesMax) await bucket.delete(keys.slice(i, i + deletesMax))
    },
    signGet: async (key, lifeMs) => signer.signGet(checkObjectKey(key), lifeMs),
    signPut: async (key, upload, lifeMs) => signer.signPut(checkObjectKey(key), upload, lifeMs),
    read: async (key, range) => (await bucket.get(checkObjectKey(key), range.length === 0 ? undefined : { range }))?.body ?? null,
    received: async () => 0,
    receive: async (key, upload, offset, body) => {
      checkObjectKey(key)
      if (offset !== 0) throw wrongOffset(key, offset, 0)
      try {
        await bucket.put(key, body, { sha256: upload.sha256 })
      } catch (error) {
        // R2 says only in words whether it was the digest or the service, so the caller may try again.
        throw new FleetError('unavailable', `the object store did not take ${key}`, { reason: 'not-stored', cause: error })
      }
      return upload.size
    },
  }
}
