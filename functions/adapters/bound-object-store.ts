import { FleetError } from '../../protocol/errors.ts'
import type { ObjectStore } from '../ports/object-store.ts'

/** Long enough for the longest object that a function reads or writes itself. */
const callMsDefault = 60_000

/**
 * The same store, that answers in bounded time or is `unavailable` (F56): a disk or a binding that fails in ways of its own, or
 * hangs, is no fault of the request it meets. Refusals that the store means stay as they are.
 */
export function boundObjectStore<S extends ObjectStore>(store: S, callMs: number = callMsDefault): S {
  const bound = <A extends unknown[], R>(verb: string, work: (...args: A) => Promise<R>) => async (...args: A): Promise<R> => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const timeUp = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(unavailable(verb, 'it did not answer in time')), callMs)))
    try {
      return await Promise.race([work(...args), timeUp])
    } catch (cause) {
      throw cause instanceof FleetError ? cause : unavailable(verb, failureOf(cause), cause)
    } finally {
      clearTimeout(timer)
    }
  }
  return { ...store, head: bound('head', store.head), get: bound('get', store.get), put: bound('put', store.put), remove: bound('remove', store.remove), signGet: bound('signGet', store.signGet), signPut: bound('signPut', store.signPut) }
}

/** What a disk says of itself, such as ENOSPC; more would be for the log only. */
const failureOf = (cause: unknown): string => (cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? `it failed (${cause.code})` : 'it failed')

const unavailable = (verb: string, detail: string, cause?: unknown): FleetError => new FleetError('unavailable', `the object store does not do ${verb}: ${detail}`, { reason: 'object-store', cause })
