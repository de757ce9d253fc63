import type { Digest } from '../protocol/ids.ts'
import { packedBytesMax, type DeliveryIndex, type Location } from '../protocol/manifest.ts'
import { ok, refuse, type Result } from '../protocol/result.ts'
import { locationFault, placeOf, type Content } from '../protocol/delivery.ts'

/** One content inside a fetch. `offset` counts from the start of the stored object. */
export type FetchPart = Content & { offset: number; storedBytes: number; codec: Location['codec'] }
/** Bytes `offset` to `offset + length` of a stored object; all of it when `length` equals `objectBytes`. Parts are in order and do not overlap. */
export type Fetch = { object: Digest; objectBytes: number; offset: number; length: number; parts: FetchPart[] }
/** `storedBytes` is what all fetches together transfer. */
export type FetchPlan = { fetches: Fetch[]; storedBytes: number }

export type FetchRefusal =
  | { reason: 'not-in-index'; digest: Digest }
  | { reason: 'conflicting-sizes'; digest: Digest; detail: string }
  | { reason: 'bad-location'; digest: Digest; detail: string }

/** Unwanted bytes between two parts of a pack that are fetched along rather than asked for around: cheaper than a request. */
const gapBytesMax = 16 * 1024

/**
 * What to fetch so that everything `wanted` is there, given what is `held`. Ranges of one pack that touch, or nearly,
 * become one fetch. Refuses an index that lacks something wanted or places it where it cannot be. Pure.
 */
export function planFetch(wanted: Iterable<Content>, held: (digest: Digest) => boolean, index: DeliveryIndex): Result<FetchPlan, FetchRefusal> {
  const sizes = new Map<Digest, number>()
  const byObject = new Map<Digest, FetchPart[]>()
  for (const { digest, size } of wanted) {
    const known = sizes.get(digest)
    if (known !== undefined && known !== size) return refuse({ reason: 'conflicting-sizes', digest, detail: `${known} and ${size} bytes` })
    if (known !== undefined || size === 0 || held(digest)) continue
    sizes.set(digest, size)
    const location = index.content[digest]
    if (location === undefined) return refuse({ reason: 'not-in-index', digest })
    const fault = locationFault({ digest, size }, location, index.objects)
    if (fault !== null) return refuse({ reason: 'bad-location', digest, detail: fault })
    if ('pack' in location && location.storedBytes > packedBytesMax) return refuse({ reason: 'bad-location', digest, detail: `${location.storedBytes} bytes are too long for a part of a pack` })
    const { object, offset } = placeOf(location)
    const parts = byObject.get(object) ?? []
    parts.push({ digest, size, offset, storedBytes: location.storedBytes, codec: location.codec })
    byObject.set(object, parts)
  }
  const fetches: Fetch[] = []
  for (const [object, parts] of byObject) {
    const merged = mergeParts(object, index.objects[object]!, parts)
    if (!merged.ok) return merged
    fetches.push(...merged.value)
  }
  return ok({ fetches, storedBytes: fetches.reduce((sum, fetch) => sum + fetch.length, 0) })
}

function mergeParts(object: Digest, objectBytes: number, parts: FetchPart[]): Result<Fetch[], FetchRefusal> {
  const fetches: Fetch[] = []
  for (const part of parts.sort((a, b) => a.offset - b.offset)) {
    const last = fetches.at(-1)
    const end = last === undefined ? 0 : last.offset + last.length
    if (last !== undefined && part.offset < end) return refuse({ reason: 'bad-location', digest: part.digest, detail: `it overlaps another content of ${object}` })
    if (last === undefined || part.offset - end > gapBytesMax) {
      fetches.push({ object, objectBytes, offset: part.offset, length: part.storedBytes, parts: [part] })
      continue
    }
    last.length = part.offset + part.storedBytes - last.offset
    last.parts.push(part)
  }
  return ok(fetches)
}
