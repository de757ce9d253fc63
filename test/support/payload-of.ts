import { gunzipSync } from 'node:zlib'
import { fromBase64, fromUtf8 } from '../../protocol/bytes.ts'
import { payloadTypes, type Envelope } from '../../protocol/envelope.ts'

/** What a message holds, whoever sealed it: for tests that listen to what others say. */
export function payloadOf<T>(message: Uint8Array): T {
  const { payloadType, payload } = JSON.parse(fromUtf8(message)) as Envelope
  const bytes = fromBase64(payload)
  return JSON.parse(fromUtf8(payloadType === payloadTypes.compressedReport ? gunzipSync(bytes) : bytes)) as T
}
