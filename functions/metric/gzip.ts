import { concatBytes } from '../../protocol/bytes.ts'

/** The bytes, compressed. */
export const gzip = (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> => collect(new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip')), Number.POSITIVE_INFINITY)

/** The bytes as they were. Rejects for what is not gzip or was cut, and once there are more than `bytesMax` (F72). */
export const gunzip = (bytes: Uint8Array<ArrayBuffer>, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> => collect(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')), bytesMax)

async function collect(stream: ReadableStream<Uint8Array>, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  const reader = stream.getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length
    if (size > bytesMax) {
      await reader.cancel()
      throw new RangeError(`more than ${bytesMax} bytes`)
    }
    chunks.push(next.value)
  }
  return concatBytes(chunks)
}
