import type { ErrorCode } from '../protocol/errors.ts'

/** What the command's exit status tells a pipeline. The numbers are an interface: they are added to, never changed. */
export const exitCodes = {
  'ok': { code: 0, meaning: 'done; for a watched rollout: completed, and every site that was not skipped succeeded' },
  'failure': { code: 1, meaning: 'it did not work, for a reason that no other code names' },
  'usage': { code: 2, meaning: 'the command line, a file given to it, or the request is not valid; nothing was changed' },
  'not-found': { code: 3, meaning: 'there is no such site, release, rollout or token' },
  'conflict': { code: 4, meaning: 'it does not fit the present state, or it was changed in the meantime' },
  'forbidden': { code: 5, meaning: 'no valid token, or its role is not enough' },
  'unreachable': { code: 6, meaning: 'the controller or its object store does not answer' },
  'rollout-failed': { code: 7, meaning: 'the rollout ended, and sites failed or it was aborted or superseded' },
  'waits-for-person': { code: 8, meaning: 'the rollout is paused, or waits for an approval or for hands at a site' },
  'not-verified': { code: 9, meaning: 'a signature, a key or a digest is not what it must be' },
  'wait-over': { code: 10, meaning: 'the time given with --timeout is over; what was waited for goes on' },
  'parked': { code: 11, meaning: 'the rollout completed, and sites that were offline have yet to catch up' },
  'link-failed': { code: 12, meaning: 'murmur infra doctor found a link that does not work' },
} as const
export type ExitName = keyof typeof exitCodes

/** How an error of the HTTP API ends the command. */
export const exitOfErrorCode: Record<ErrorCode, ExitName> = {
  'bad-request': 'usage',
  'unauthenticated': 'forbidden',
  'forbidden': 'forbidden',
  'not-found': 'not-found',
  'conflict': 'conflict',
  'precondition-failed': 'conflict',
  'too-large': 'usage',
  'unprocessable': 'failure',
  'too-many': 'unreachable',
  'internal': 'failure',
  'unavailable': 'unreachable',
}

/** Reasons inside `unprocessable` that are about trust rather than form. */
const trustReasons = new Set(['unknown-key', 'bad-signature', 'wrong-root', 'key-id-mismatch', 'wrong-type'])

export const exitOfProblem = (code: ErrorCode, reason: string | undefined): ExitName =>
  code === 'unprocessable' && reason !== undefined && trustReasons.has(reason) ? 'not-verified' : exitOfErrorCode[code]

/** What the exit status of a program that this command ran means. */
export const exitOfStatus = (status: number): ExitName => (Object.keys(exitCodes) as ExitName[]).find((name) => exitCodes[name].code === status) ?? 'failure'

/** The table as `murmur help exit-codes` prints it. */
export const describeExitCodes = (): string =>
  Object.values(exitCodes).map(({ code, meaning }) => `${String(code).padStart(3)}  ${meaning}\n`).join('')
