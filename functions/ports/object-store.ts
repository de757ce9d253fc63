/** How a client may send or fetch one object itself, without a byte passing through a function. */
export type SignedRequest = { method: 'GET' | 'PUT'; url: string; headers: Record<string, string>; expiresAtMs: number }
export type ObjectFacts = { size: number }

/**
 * Where bytes rest. Keys are those of `storeKeys`; an object once put never changes under its key.
 * `put` and the signed PUT are checked by the store: bytes whose SHA-256 is not `sha256` are refused.
 */
export interface ObjectStore {
  head(key: string): Promise<ObjectFacts | null>
  /** The whole object, or null; refuses objects over `bytesMax` with a FleetError. */
  get(key: string, bytesMax: number): Promise<Uint8Array | null>
  put(key: string, bytes: Uint8Array, sha256: string): Promise<void>
  remove(keys: readonly string[]): Promise<void>
  signGet(key: string, lifeMs: number): Promise<SignedRequest>
  signPut(key: string, upload: { sha256: string; size: number }, lifeMs: number): Promise<SignedRequest>
}
