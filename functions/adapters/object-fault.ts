import { FleetError } from '../../protocol/errors.ts'

/** The refusals every store has in common. */
export const digestMismatch = (key: string, sha256: string): FleetError =>
  new FleetError('unprocessable', `the bytes for ${key} do not have the SHA-256 ${sha256}`, { reason: 'digest-mismatch' })
export const tooLong = (key: string, size: number): FleetError => new FleetError('too-large', `more than the ${size} bytes announced for ${key} came`, { reason: 'too-long' })
export const tooLarge = (key: string, size: number, bytesMax: number): FleetError =>
  new FleetError('too-large', `${key} is ${size} bytes long; at most ${bytesMax} are read at once`, { reason: 'too-large' })
export const wrongOffset = (key: string, offset: number, received: number): FleetError =>
  new FleetError('conflict', `the upload of ${key} stands at ${received} bytes, not ${offset}`, { reason: 'wrong-offset' })
