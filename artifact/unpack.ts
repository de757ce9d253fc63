import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { createZstdDecompress, zstdDecompressSync } from 'node:zlib'
import { ArtifactError } from './artifact-error.ts'
import { decompressOptions, inMemoryBytesMax } from './codec.ts'
import type { FetchPart } from './plan-fetch.ts'

type Packed = Pick<FetchPart, 'digest' | 'size' | 'storedBytes' | 'codec'>

/**
 * The content of one location, decoded as its stored bytes arrive, in memory that does not grow with it. What is
 * yielded is believed only once the iteration has ended without an error: then it had exactly the declared size and
 * digest. Throws ArtifactError `too-long` as soon as the declared size is passed (F7, F17), `corrupt` for bytes that
 * do not decode or end early, `digest-mismatch` for other content of the right size (F1); errors of `stored` as they are.
 */
export async function* unpack(stored: AsyncIterable<Uint8Array>, packed: Packed): AsyncGenerator<Uint8Array> {
  const limited = limitStored(stored, packed)
  const content = packed.codec === 'none' ? limited : packed.size <= inMemoryBytesMax ? decodeAtOnce(limited, packed) : decodeStream(limited, packed)
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of content) {
    size += chunk.length
    if (size > packed.size) throw tooLong(packed)
    hash.update(chunk)
    yield chunk
  }
  if (size < packed.size) throw new ArtifactError('corrupt', packed.digest, `it ends after ${size} of ${packed.size} bytes`)
  if (hash.digest('hex') !== packed.digest) throw new ArtifactError('digest-mismatch', packed.digest, 'these bytes are another content')
}

async function* limitStored(stored: AsyncIterable<Uint8Array>, packed: Packed): AsyncGenerator<Uint8Array> {
  let received = 0
  for await (const chunk of stored) {
    received += chunk.length
    if (received > packed.storedBytes) throw new ArtifactError('too-long', packed.digest, `more than ${packed.storedBytes} stored bytes came`)
    yield chunk
  }
}

/** Making a stream for each small file would cost more than decoding it. */
async function* decodeAtOnce(stored: AsyncIterable<Uint8Array>, packed: Packed): AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stored) chunks.push(chunk)
  try {
    yield zstdDecompressSync(Buffer.concat(chunks), { ...decompressOptions, maxOutputLength: packed.size })
  } catch (error) {
    throw (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE' ? tooLong(packed) : corrupt(packed, error)
  }
}

async function* decodeStream(stored: AsyncIterable<Uint8Array>, packed: Packed): AsyncGenerator<Uint8Array> {
  let sourceFailure: { error: unknown } | null = null
  const decoder = createZstdDecompress(decompressOptions)
  const feeding = pipeline(async function* () {
    try {
      yield* stored
    } catch (error) {
      sourceFailure = { error }
      throw error
    }
  }, decoder)
  // The same failure comes out of the decoder below; this keeps it from counting as unhandled.
  feeding.catch(() => undefined)
  try {
    for await (const chunk of decoder) yield chunk as Uint8Array
  } catch (error) {
    if (sourceFailure !== null) throw (sourceFailure as { error: unknown }).error
    throw corrupt(packed, error)
  }
}

const tooLong = (packed: Packed) => new ArtifactError('too-long', packed.digest, `it is longer than the declared ${packed.size} bytes`)
const corrupt = (packed: Packed, cause: unknown) => new ArtifactError('corrupt', packed.digest, 'the stored bytes do not decode', cause)
