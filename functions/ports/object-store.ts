/** How a client may send or fetch one object itself, without a byte passing through a function. */
export type SignedRequest = { method: 'GET' | 'PUT'; url: string; headers: Record<string, string>; expiresAtMs: number }
export type ObjectFacts = { size: number }
/** Bytes `offset` to `offset + length`. */
export type ByteRange = { offset: number; length: number }

/**
 * Where bytes rest. Keys are those of `storeKeys`; an object once put never changes under its key.
 * `put` and the signed PUT are checked by the store: bytes whose SHA-256 is not `sha256` are refused.
 */
export interface ObjectStore {
  head(key: string): Promise<ObjectFacts | null>
  /**
   * The object, or as much of `range` (of at least one byte) as lies inside it, or null where there is none. Refuses what is over `bytesMax`
   * with a FleetError; with a range that is its length, whatever the object's is.
   */
  get(key: string, bytesMax: number, range?: ByteRange): Promise<Uint8Array | null>
  put(key: string, bytes: Uint8Array, sha256: string): Promise<void>
  remove(keys: readonly string[]): Promise<void>
  signGet(key: string, lifeMs: number): Promise<SignedRequest>
  signPut(key: string, upload: { sha256: string; size: number }, lifeMs: number): Promise<SignedRequest>
  /** Absent where every upload is one request. */
  readonly parts?: PartUploads
  /** Absent where nothing stays of an upload that was not finished. */
  readonly unfinished?: UnfinishedUploads
}

/** What a client says of one part: `number` counts from 1; `md5` is base64, and what the store itself names parts by. */
export type PartFacts = { number: number; size: number; sha256: string; md5: string }

/** Long objects in parts, each a request of its own, so that an upload that broke off goes on with the parts that are missing. */
export interface PartUploads {
  /** Length of every part but the last. Objects that are longer go in parts. */
  readonly partBytes: number
  /** For each part null where the store has it, else the request under which it takes exactly these bytes. */
  sign(key: string, parts: readonly PartFacts[], lifeMs: number): Promise<(SignedRequest | null)[]>
  /** Makes the object of its parts; again does nothing. Throws `conflict` (`parts-missing`, with their numbers) while some are missing. */
  complete(key: string, size: number): Promise<void>
}

export interface UnfinishedUploads {
  /** Forgets uploads that were begun, and not gone on with, before this time. Bounded; returns how many went. */
  sweep(beforeMs: number): Promise<number>
}
