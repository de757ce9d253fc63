import type { Ids } from '../../ports/ids.ts'

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** `count` digits of five bits each, most significant first. */
function base32(value: bigint, count: number): string {
  let text = ''
  for (let shift = 5n * BigInt(count - 1); shift >= 0n; shift -= 5n) text += alphabet[Number((value >> shift) & 31n)]
  return text
}

const secret = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))

/** 48 bits of time in 10 digits, then 80 bits of chance in 16: what Node, Workers and browsers can all make. */
export const sortableIds: Ids = {
  sortable(nowMs) {
    const chance = secret(10).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
    return base32(BigInt(Math.trunc(nowMs)) & 0xffff_ffff_ffffn, 10) + base32(chance, 16)
  },
  secret,
}
