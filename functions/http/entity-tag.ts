import { FleetError } from '../../protocol/errors.ts'

/** `"7"` for version 7 of a thing, taken from the answer itself or from the rollout it carries; null without a version. */
export function entityTagOf(answer: unknown): string | null {
  if (answer === null || typeof answer !== 'object') return null
  const { version, rollout } = answer as { version?: unknown; rollout?: unknown }
  return typeof version === 'number' ? `"${version}"` : entityTagOf(rollout)
}

/** The version a caller insists on; null for none or `*`. Throws `bad-request` for anything that is not one of our tags. */
export function readIfMatch(headers: Headers): number | null {
  const text = headers.get('if-match')?.trim()
  if (text === undefined || text === '*') return null
  const version = /^"(\d{1,15})"$/.exec(text)?.[1]
  if (version === undefined) throw new FleetError('bad-request', 'If-Match must be one ETag as this API gave it, such as "7"', { errors: [{ path: 'header.if-match', message: 'is not an ETag of this API' }] })
  return Number(version)
}

/** Throws `precondition-failed` when the caller has seen another version than the one that is there. */
export function checkIfMatch(ifMatch: number | null, version: number): void {
  if (ifMatch !== null && ifMatch !== version) throw new FleetError('precondition-failed', `it is at version ${version}, not ${ifMatch}; read it again`)
}

export const noneMatch = (headers: Headers, tag: string | null): boolean =>
  tag === null || !(headers.get('if-none-match') ?? '').split(',').some((other) => other.trim().replace(/^W\//, '') === tag)
