import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, rm, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createZstdCompress, zstdCompressSync } from 'node:zlib'
import type { Digest } from '../protocol/ids.ts'
import { ArtifactError } from './artifact-error.ts'
import { compressOptions, inMemoryBytesMax } from './codec.ts'
import type { Content } from '../protocol/delivery.ts'

/** The file that content is in before it is stored. */
export type Source = { path: string }
/** Stored form of one content: in memory when the content is short, otherwise in the file `path` with its digest. */
export type Compressed = { codec: 'zstd' | 'none'; storedBytes: number } & ({ bytes: Uint8Array } | { path: string; digest: Digest })

/**
 * The stored form of a content: zstd, or the plain bytes where that is not shorter. A long content is streamed to
 * `partialPath`, or left in its own file when it stays plain. Throws ArtifactError `changed-meanwhile` when the source
 * is no longer what its digest says (F10).
 */
export async function compressContent(content: Content, source: Source, level: number, partialPath: string): Promise<Compressed> {
  if (content.size > inMemoryBytesMax) return compressFile(content, source.path, level, partialPath)
  if ((await stat(source.path)).size !== content.size) throw changed(source.path)
  const bytes = await readFile(source.path)
  if (bytes.length !== content.size || createHash('sha256').update(bytes).digest('hex') !== content.digest) throw changed(source.path)
  return compressBytes(bytes, level)
}

function compressBytes(bytes: Uint8Array, level: number): Compressed {
  const packed = zstdCompressSync(bytes, compressOptions(level))
  return packed.length < bytes.length ? { codec: 'zstd', storedBytes: packed.length, bytes: packed } : { codec: 'none', storedBytes: bytes.length, bytes }
}

async function compressFile(content: Content, path: string, level: number, partialPath: string): Promise<Compressed> {
  const contentHash = createHash('sha256')
  const storedHash = createHash('sha256')
  let size = 0
  let storedBytes = 0
  await pipeline(
    createReadStream(path, { highWaterMark: 1024 * 1024 }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        contentHash.update(chunk)
        size += chunk.length
        if (size > content.size) throw changed(path)
        yield chunk
      }
    },
    createZstdCompress(compressOptions(level)),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        storedHash.update(chunk)
        storedBytes += chunk.length
        yield chunk
      }
    },
    createWriteStream(partialPath),
  )
  if (size !== content.size || contentHash.digest('hex') !== content.digest) throw changed(path)
  if (storedBytes < size) return { codec: 'zstd', storedBytes, path: partialPath, digest: storedHash.digest('hex') as Digest }
  await rm(partialPath)
  return { codec: 'none', storedBytes: size, path, digest: content.digest }
}

const changed = (path: string) => new ArtifactError('changed-meanwhile', path, 'it was changed after it was scanned')
