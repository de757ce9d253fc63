import * as z from 'zod'
import { concatBytes, fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import type { MetricBlock } from '../../protocol/metrics.ts'
import { fromColumns, toColumns } from './columns.ts'
import { gunzip, gzip } from './gzip.ts'

/*
 * A pack is a head of `packHeadBytes` (a JSON index, filled up with spaces) and behind it, for each of its sites, the site's blocks
 * of a day as compressed columns. So one site's day is two parts of an object, wherever in it that lies.
 */

/** Enough for the longest names of as many sites as a pack may have. */
export const packHeadBytes = 24 * 1024
export const sitesPerPackMax = 200

const Index = z.object({ v: z.literal(1), sites: z.array(z.tuple([z.string(), z.int().nonnegative(), z.int().positive()])).max(sitesPerPackMax) })

/** Where a site's part of a pack is. */
export type Place = { offset: number; length: number }

/** One site's blocks of a day. */
export const packSite = (blocks: readonly MetricBlock[]): Promise<Uint8Array<ArrayBuffer>> => gzip(utf8(JSON.stringify(toColumns(blocks))))

/** The blocks again. Rejects for whatever `packSite` has not made. */
export async function unpackSite(bytes: Uint8Array<ArrayBuffer>): Promise<MetricBlock[]> {
  const columns = await gunzip(bytes, limits.metricBlockBytesMax * limits.metricSlots)
  return fromColumns(JSON.parse(fromUtf8(columns)))
}

export function assemblePack(sites: readonly { site: string; bytes: Uint8Array }[]): Uint8Array<ArrayBuffer> {
  let offset = packHeadBytes
  const index = sites.map(({ site, bytes }) => {
    const place: [string, number, number] = [site, offset, bytes.length]
    offset += bytes.length
    return place
  })
  const head = new Uint8Array(packHeadBytes).fill(0x20)
  head.set(utf8(JSON.stringify({ v: 1, sites: index } satisfies z.infer<typeof Index>)))
  return concatBytes([head, ...sites.map(({ bytes }) => bytes)])
}

/** Where a site is in the pack with this head; null where it is not. Throws for what is not the head of a pack. */
export function findInPack(head: Uint8Array, site: string): Place | null {
  const found = Index.parse(JSON.parse(fromUtf8(head))).sites.find(([name]) => name === site)
  return found === undefined ? null : { offset: found[1], length: found[2] }
}
