import { FleetError } from '../../protocol/errors.ts'

/** Lower-case words joined by `/`, the last one with at most one extension: nothing in it can climb or hide. */
const objectKeyPattern = /^(?:[a-z0-9][a-z0-9_-]{0,127}\/){1,4}[a-z0-9][a-z0-9_-]{0,127}(?:\.[a-z0-9]{1,16})?$/

/** The key itself; throws `bad-request` when no store may use it. */
export function checkObjectKey(key: string): string {
  if (!objectKeyPattern.test(key)) throw new FleetError('bad-request', `not a key of the object store: ${JSON.stringify(key.slice(0, 200))}`, { reason: 'bad-key' })
  return key
}
