import { ArtifactError } from './artifact-error.ts'
import type { Fetch, FetchPart } from './plan-fetch.ts'
import { unpack } from './unpack.ts'

/**
 * The contents of one fetch, in order, as its body (exactly the range it asked for) arrives. Each `content` is to be
 * read before the next is asked for, with the errors of `unpack`; one that fails does not hinder those after it.
 * Bytes after the last part are not read.
 */
export async function* unpackFetch(body: AsyncIterable<Uint8Array>, fetch: Fetch): AsyncGenerator<{ part: FetchPart; content: AsyncIterable<Uint8Array> }> {
  const reader = createReader(body, fetch.offset)
  try {
    for (const part of fetch.parts) {
      await reader.skipTo(part.offset)
      yield { part, content: unpack(reader.readTo(part.offset + part.storedBytes, part), part) }
      await reader.skipTo(part.offset + part.storedBytes)
    }
  } finally {
    await reader.close()
  }
}

function createReader(body: AsyncIterable<Uint8Array>, start: number) {
  const iterator = body[Symbol.asyncIterator]()
  let position = start
  let held = new Uint8Array(0)
  let ended = false
  const take = async (end: number): Promise<Uint8Array | null> => {
    while (held.length === 0) {
      const next = ended ? { done: true as const } : await iterator.next()
      if (next.done === true) {
        ended = true
        return null
      }
      held = next.value as Uint8Array<ArrayBuffer>
    }
    const chunk = held.subarray(0, Math.min(held.length, end - position))
    held = held.subarray(chunk.length)
    position += chunk.length
    return chunk
  }
  return {
    skipTo: async (end: number): Promise<void> => {
      while (position < end) if ((await take(end)) === null) return
    },
    readTo: async function* (end: number, part: FetchPart): AsyncGenerator<Uint8Array> {
      while (position < end) {
        const chunk = await take(end)
        if (chunk === null) throw new ArtifactError('corrupt', part.digest, `the body ends ${end - position} bytes before this content does`)
        yield chunk
      }
    },
    close: async (): Promise<void> => {
      if (!ended) await iterator.return?.()
    },
  }
}
