import type { ByteRange } from '../ports/object-store.ts'

/**
 * What a Range header (RFC 9110 §14.2) asks of `size` bytes. `whole` where it may be ignored: absent, another unit,
 * malformed, or several ranges at once.
 */
export function parseRange(header: string | undefined, size: number): ByteRange | 'whole' | 'unsatisfiable' {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return 'whole'
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length }
  }
  const offset = Number(first)
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  if (last !== '' && Number(last) < offset) return 'whole'
  return offset >= size ? 'unsatisfiable' : { offset, length: end - offset }
}
