import type { Writable } from 'node:stream'

/** One entry of an archive; directories have no content. */
export type TarEntry = { path: string; mode: number } & ({ kind: 'directory' } | { kind: 'file'; content: Uint8Array })

const blockBytes = 512
const nameBytesMax = 100
const prefixBytesMax = 155
const types = { file: '0', directory: '5' } as const
const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`

/** A long name goes into two fields, with a slash that is in neither between them. */
function splitName(name: string): { prefix: string; rest: string } {
  if (Buffer.byteLength(name) <= nameBytesMax) return { prefix: '', rest: name }
  for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1)) {
    const [prefix, rest] = [name.slice(0, slash), name.slice(slash + 1)]
    if (rest !== '' && Buffer.byteLength(rest) <= nameBytesMax && Buffer.byteLength(prefix) <= prefixBytesMax) return { prefix, rest }
  }
  throw new Error(`${name} is too long for an archive`)
}

/** A header of POSIX ustar: owned by root, of one and the same time, so that the same tree gives the same bytes. */
function headerOf(entry: TarEntry, mtimeS: number): Buffer {
  const { prefix, rest } = splitName(entry.kind === 'directory' ? `${entry.path}/` : entry.path)
  const header = Buffer.alloc(blockBytes)
  const put = (offset: number, text: string): void => void header.write(text, offset, 'utf8')
  put(0, rest)
  put(100, octal(entry.mode, 8))
  put(108, octal(0, 8))
  put(116, octal(0, 8))
  put(124, octal(entry.kind === 'file' ? entry.content.length : 0, 12))
  put(136, octal(mtimeS, 12))
  put(148, ' '.repeat(8))
  put(156, types[entry.kind])
  put(257, 'ustar\0' + '00')
  put(265, 'root')
  put(297, 'root')
  put(345, prefix)
  put(148, `${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `)
  return header
}

/** Writes an archive of these entries in this order, and ends the stream. */
export async function writeTar(entries: readonly TarEntry[], out: Writable, mtimeS: number): Promise<void> {
  const write = (bytes: Uint8Array): Promise<void> => new Promise((resolve, reject) => out.write(bytes, (error) => (error ? reject(error) : resolve())))
  for (const entry of entries) {
    await write(headerOf(entry, mtimeS))
    if (entry.kind !== 'file') continue
    await write(entry.content)
    await write(Buffer.alloc((blockBytes - (entry.content.length % blockBytes)) % blockBytes))
  }
  await write(Buffer.alloc(2 * blockBytes))
  out.end()
}
