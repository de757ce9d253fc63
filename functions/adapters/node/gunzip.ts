import { gunzipSync } from 'node:zlib'
import type { Gunzip } from '../../../protocol/envelope.ts'
import { ok, refuse } from '../../../protocol/result.ts'

/** Node's own one-shot function, which Workers have, too: for a report of some kilobytes many times faster than a stream. */
export const gunzip: Gunzip = (bytes, bytesMax) => {
  try {
    return ok(gunzipSync(bytes, { maxOutputLength: bytesMax }))
  } catch (error) {
    // neither host's other failures are a RangeError, and only one of them gives a code
    return refuse(error instanceof RangeError ? 'over-limit' : 'malformed')
  }
}
