import { toHex } from '../../../protocol/bytes.ts'
import type { Crypto } from '../../../protocol/crypto.ts'
import type { StreamedObjects } from '../../http/object-route.ts'
import type { ObjectStore } from '../../ports/object-store.ts'
import { digestMismatch, tooLarge, tooLong, wrongOffset } from '../object-fault.ts'
import { checkObjectKey } from '../object-key.ts'

/** Objects in this process's memory, for tests and the simulator. */
export function createMemoryObjectStore(options: { crypto: Crypto; signer: Pick<ObjectStore, 'signGet' | 'signPut'> }): ObjectStore & StreamedObjects {
  const { crypto, signer } = options
  const objects = new Map<string, Uint8Array>()
  const partials = new Map<string, Uint8Array>()
  const put = async (key: string, bytes: Uint8Array, sha256: string): Promise<void> => {
    checkObjectKey(key)
    if (toHex(await crypto.sha256(bytes)) !== sha256) throw digestMismatch(key, sha256)
    objects.set(key, bytes.slice())
  }
  return {
    put,
    head: async (key) => {
      const bytes = objects.get(checkObjectKey(key))
      return bytes === undefined ? null : { size: bytes.length }
    },
    get: async (key, bytesMax, range) => {
      const bytes = objects.get(checkObjectKey(key))
      if (bytes === undefined) return null
      const length = range?.length ?? bytes.length
      if (length > bytesMax) throw tooLarge(key, length, bytesMax)
      return range === undefined ? bytes.slice() : bytes.slice(range.offset, range.offset + length)
    },
    remove: async (keys) => {
      for (const key of keys) objects.delete(checkObjectKey(key))
    },
    signGet: async (key, lifeMs) => signer.signGet(checkObjectKey(key), lifeMs),
    signPut: async (key, upload, lifeMs) => signer.signPut(checkObjectKey(key), upload, lifeMs),
    read: async (key, { offset, length }) => {
      const bytes = objects.get(checkObjectKey(key))
      return bytes === undefined ? null : new Blob([bytes.slice(offset, offset + length)]).stream()
    },
    received: async (key, { sha256 }) => partials.get(`${checkObjectKey(key)} ${sha256}`)?.length ?? 0,
    receive: async (key, { sha256, size }, offset, body) => {
      const name = `${checkObjectKey(key)} ${sha256}`
      let bytes = offset === 0 ? new Uint8Array(0) : (partials.get(name) ?? new Uint8Array(0))
      if (bytes.length !== offset) throw wrongOffset(key, offset, bytes.length)
      const reader = body.getReader()
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        if (bytes.length + next.value.length > size) {
          partials.delete(name)
          await reader.cancel()
          throw tooLong(key, size)
        }
        bytes = concat(bytes, next.value)
        partials.set(name, bytes)
      }
      if (bytes.length < size) return bytes.length
      partials.delete(name)
      await put(key, bytes, sha256)
      return size
    },
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
