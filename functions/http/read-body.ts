import { concatBytes } from '../../protocol/bytes.ts'
import { FleetError } from '../../protocol/errors.ts'

/** The bytes of a body, read no further than its limit whatever `content-length` says or leaves out. Throws `too-large`. */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = (): FleetError => new FleetError('too-large', `the body may be at most ${bytesMax} bytes long`)
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) throw tooLarge()
  if (request.body === null) return new Uint8Array(0)
  const chunks: Uint8Array[] = []
  let size = 0
  const reader = request.body.getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length
    if (size > bytesMax) {
      await reader.cancel()
      throw tooLarge()
    }
    chunks.push(next.value)
  }
  return concatBytes(chunks)
}
