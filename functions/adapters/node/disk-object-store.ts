import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import type { StreamedObjects } from '../../http/object-route.ts'
import type { ObjectUpload } from '../../http/sign-object-url.ts'
import type { ByteRange, ObjectStore, UnfinishedUploads } from '../../ports/object-store.ts'
import { digestMismatch, tooLarge, tooLong, wrongOffset } from '../object-fault.ts'
import { checkObjectKey } from '../object-key.ts'

/** Files removed by one sweep. */
const sweptMax = 1000

type Receiving = { stop: () => void; ended: Promise<void> }

/**
 * Objects as files: `{root}/objects-by-key/{key}`, and what is still arriving under `{root}/arriving/`. A file appears
 * under its key by rename, synced, after its SHA-256 was found right: a sudden end leaves the old state or the new one.
 * For one process; an upload that is begun again takes over from the connection that had it.
 */
export function createDiskObjectStore(options: { root: string; signer: Pick<ObjectStore, 'signGet' | 'signPut'> }): ObjectStore & StreamedObjects {
  const { root, signer } = options
  const receivings = new Map<string, Receiving>()
  const placeOf = (key: string): string => join(root, 'objects-by-key', checkObjectKey(key))
  const arrivingAt = (key: string, upload: ObjectUpload): string => join(root, 'arriving', createHash('sha256').update(`${checkObjectKey(key)} ${upload.sha256} ${upload.size}`).digest('hex'))

  const put: ObjectStore['put'] = async (key, bytes, sha256) => {
    const place = placeOf(key)
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw digestMismatch(key, sha256)
    const arriving = join(root, 'arriving', randomUUID())
    await mkdir(dirname(arriving), { recursive: true })
    try {
      await writeSynced(arriving, bytes)
      await publish(arriving, place)
    } catch (error) {
      await rm(arriving, { force: true })
      throw error
    }
  }

  const receive: StreamedObjects['receive'] = async (key, upload, offset, body) => {
    const arriving = arrivingAt(key, upload)
    const reader = body.getReader()
    const release = await takeOver(receivings, arriving, reader)
    try {
      await mkdir(dirname(arriving), { recursive: true })
      const held = (await sizeOf(arriving)) ?? 0
      if (offset !== 0 && offset !== held) throw wrongOffset(key, offset, held)
      const { received, sha256 } = await writeBody(arriving, offset, reader, upload.size)
      if (received < upload.size) return received
      const refusal = received > upload.size ? tooLong(key, upload.size) : (sha256 ?? (await hashFile(arriving))) !== upload.sha256 ? digestMismatch(key, upload.sha256) : null
      if (refusal === null) {
        await publish(arriving, placeOf(key))
        return received
      }
      await rm(arriving)
      throw refusal
    } finally {
      await reader.cancel().catch(() => undefined)
      release()
    }
  }

  const sweep: UnfinishedUploads['sweep'] = async (beforeMs) => {
    const arriving = join(root, 'arriving')
    let swept = 0
    for (const path of ((await readdir(arriving).catch(absent)) ?? []).map((name) => join(arriving, name))) {
      const facts = await stat(path).catch(absent)
      if (facts === null || facts.mtimeMs >= beforeMs || receivings.has(path)) continue
      await rm(path, { force: true })
      if (++swept === sweptMax) break
    }
    return swept
  }

  return {
    put,
    receive,
    unfinished: { sweep },
    received: async (key, upload) => (await sizeOf(arrivingAt(key, upload))) ?? 0,
    head: async (key) => {
      const size = await sizeOf(placeOf(key))
      return size === null ? null : { size }
    },
    get: async (key, bytesMax, range) => {
      const size = await sizeOf(placeOf(key))
      if (size === null) return null
      const length = range?.length ?? size
      if (length > bytesMax) throw tooLarge(key, length, bytesMax)
      return range === undefined ? new Uint8Array(await readFile(placeOf(key))) : readPart(placeOf(key), range)
    },
    remove: async (keys) => {
      for (const place of keys.map(placeOf)) await rm(place, { force: true })
    },
    signGet: async (key, lifeMs) => signer.signGet(checkObjectKey(key), lifeMs),
    signPut: async (key, upload, lifeMs) => signer.signPut(checkObjectKey(key), upload, lifeMs),
    read: async (key, { offset, length }) => {
      const handle = await open(placeOf(key)).catch(absent)
      if (handle === null) return null
      if (length === 0) {
        await handle.close()
        return new Blob([]).stream()
      }
      const stream = createReadStream('', { fd: handle, start: offset, end: offset + length - 1, highWaterMark: 256 * 1024 })
      return Readable.toWeb(stream) as ReadableStream<Uint8Array>
    },
  }
}

/** Ends whoever still writes this upload (its connection may be dead without anyone knowing) and takes its place. */
async function takeOver(receivings: Map<string, Receiving>, arriving: string, reader: ReadableStreamDefaultReader<Uint8Array>): Promise<() => void> {
  for (let other = receivings.get(arriving); other !== undefined; other = receivings.get(arriving)) {
    other.stop()
    await other.ended
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  receivings.set(arriving, { stop: () => void reader.cancel().catch(() => undefined), ended: promise })
  return () => {
    receivings.delete(arriving)
    resolve()
  }
}

/**
 * Writes until the body ends or has passed `size`; synced once complete. The SHA-256 is known only where all of the
 * bytes came this way: a resumed upload is hashed from its file, once, at its end.
 */
async function writeBody(arriving: string, offset: number, reader: ReadableStreamDefaultReader<Uint8Array>, size: number): Promise<{ received: number; sha256: string | null }> {
  const hash = offset === 0 ? createHash('sha256') : null
  const handle = await open(arriving, offset === 0 ? 'w' : 'a')
  let received = offset
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      received += next.value.length
      if (received > size) return { received, sha256: null }
      hash?.update(next.value)
      await handle.writeFile(next.value)
    }
    if (received === size) await handle.sync()
    return { received, sha256: hash?.digest('hex') ?? null }
  } finally {
    await handle.close()
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx')
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function publish(arriving: string, place: string): Promise<void> {
  const directory = dirname(place)
  const made = await mkdir(directory, { recursive: true })
  await rename(arriving, place)
  await syncDirectory(directory)
  if (made !== undefined) for (let child = directory; child.length >= made.length; child = dirname(child)) await syncDirectory(dirname(child))
}

async function readPart(path: string, { offset, length }: ByteRange): Promise<Uint8Array> {
  const handle = await open(path)
  try {
    const bytes = new Uint8Array(length)
    let filled = 0
    for (let read = -1; filled < length && read !== 0; filled += read) read = (await handle.read(bytes, filled, length - filled, offset + filled)).bytesRead
    return bytes.subarray(0, filled)
  } finally {
    await handle.close()
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function absent(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
  throw error
}

const sizeOf = async (path: string): Promise<number | null> => (await stat(path).catch(absent))?.size ?? null

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
