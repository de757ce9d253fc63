import * as z from 'zod'
import { concatBytes, fromBase64, fromUtf8, toBase64, toHex, utf8, equalBytes, wellFormedJson } from './bytes.ts'
import type { Crypto } from './crypto.ts'
import { Digest, KeyId, type FleetId, type SiteId } from './ids.ts'
import { limits } from './limits.ts'
import { ok, refuse, type Result } from './result.ts'

/**
 * DSSE (https://github.com/secure-systems-lab/dsse, protocol v1.0.2): the signature covers the payload's type and
 * its bytes as sent, so nothing is parsed before it is trusted, and a signature for one type never passes for another.
 */
export const payloadTypes = {
  trust: 'application/vnd.murmur.trust.v1+json',
  manifest: 'application/vnd.murmur.manifest.v1+json',
  directive: 'application/vnd.murmur.directive.v1+json',
  report: 'application/vnd.murmur.report.v1+json',
  compressedReport: 'application/vnd.murmur.report.v1+gzip',
} as const
export type PayloadType = (typeof payloadTypes)[keyof typeof payloadTypes]

export const Envelope = z.strictObject({
  payloadType: z.string().max(100),
  payload: z.base64().max(limits.envelopeBytesMax),
  signatures: z.array(z.strictObject({ keyid: z.string().max(200), sig: z.base64().max(200) })).min(1).max(8),
})
export type Envelope = z.infer<typeof Envelope>

/** Why an envelope was not believed, with what was seen. */
export type EnvelopeRefusal =
  | { reason: 'malformed'; detail: string }
  | { reason: 'wrong-type'; expected: string; actual: string }
  | { reason: 'unknown-key'; keyids: string[] }
  | { reason: 'bad-signature'; keyid: string }

/** Gives the bytes in the format of RFC 1952. */
export type Gzip = (bytes: Uint8Array) => Uint8Array
/** Gives them back: `malformed` where they are cut or garbled, `over-limit` once there are more than `bytesMax`, of which no more is made (F72). */
export type Gunzip = (bytes: Uint8Array, bytesMax: number) => Result<Uint8Array, 'malformed' | 'over-limit'>

/** DSSE's pre-authentication encoding: what is really signed. Our payload types are ASCII: as many bytes as characters. */
function preAuthEncoding(payloadType: PayloadType, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  return concatBytes([utf8(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload])
}

/** A key that signs: its id (digest of the public key) and PKCS #8 private key. */
export type SigningKey = { keyid: KeyId; privateKey: Uint8Array }
/** Public keys by key id. */
export type VerifyingKeys = ReadonlyMap<string, Uint8Array>

export async function keyIdOf(crypto: Crypto, publicKey: Uint8Array): Promise<KeyId> {
  return toHex(await crypto.sha256(publicKey)) as KeyId
}

export async function digestOf(crypto: Crypto, bytes: Uint8Array): Promise<Digest> {
  return toHex(await crypto.sha256(bytes)) as Digest
}

async function seal(payloadType: PayloadType, payload: Uint8Array, keyid: string, sign: (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>): Promise<Envelope> {
  const sig = await sign(preAuthEncoding(payloadType, payload))
  return { payloadType, payload: toBase64(payload), signatures: [{ keyid, sig: toBase64(sig) }] }
}

/** Signs `payload` (JSON bytes) with an Ed25519 key. */
export function signEnvelope(crypto: Crypto, payloadType: PayloadType, payload: Uint8Array, key: SigningKey): Promise<Envelope> {
  return seal(payloadType, payload, key.keyid, (bytes) => crypto.sign(key.privateKey, bytes))
}

function parse(envelope: unknown, ...expected: readonly PayloadType[]): Result<{ envelope: Envelope; payloadType: PayloadType; payload: Uint8Array }, EnvelopeRefusal> {
  const parsed = Envelope.safeParse(envelope)
  if (!parsed.success) return refuse({ reason: 'malformed', detail: z.prettifyError(parsed.error).slice(0, limits.reasonLengthMax) })
  const payloadType = expected.find((each) => each === parsed.data.payloadType)
  if (payloadType === undefined) return refuse({ reason: 'wrong-type', expected: expected.join(' or '), actual: parsed.data.payloadType })
  return ok({ envelope: parsed.data, payloadType, payload: fromBase64(parsed.data.payload) })
}

/**
 * The payload of an envelope, if one of `keys` signed it. Signatures by keys that are not in `keys` are ignored,
 * so that a document may carry both an old and a new key's signature during a rotation.
 */
export async function openEnvelope(
  crypto: Crypto, envelope: unknown, payloadType: PayloadType, keys: VerifyingKeys,
): Promise<Result<{ payload: Uint8Array; keyid: KeyId }, EnvelopeRefusal>> {
  const parsed = parse(envelope, payloadType)
  if (!parsed.ok) return parsed
  const signed = preAuthEncoding(payloadType, parsed.value.payload)
  const { signatures } = parsed.value.envelope
  for (const { keyid, sig } of signatures) {
    const publicKey = keys.get(keyid)
    if (publicKey === undefined) continue
    if (!(await crypto.verify(publicKey, signed, fromBase64(sig)))) return refuse({ reason: 'bad-signature', keyid })
    return ok({ payload: parsed.value.payload, keyid: keyid as KeyId })
  }
  return refuse({ reason: 'unknown-key', keyids: signatures.map((s) => s.keyid) })
}

/** `keyid` of a report's HMAC: says whose key to derive, so that nothing has to be read to check it. */
export const reportKeyId = (fleet: FleetId, site: SiteId, incarnation: number): string => `${fleet}/${site}/${incarnation}`

/** The key that authenticates a site's reports: HKDF(ingest secret, fleet, site, incarnation). */
export function deriveReportKey(crypto: Crypto, ingestSecret: Uint8Array, fleet: FleetId, site: SiteId, incarnation: number): Uint8Array | Promise<Uint8Array> {
  return crypto.derive(ingestSecret, `murmur report ${reportKeyId(fleet, site, incarnation)}`)
}

/** Seals a report with the site's HMAC key; with `gzip` compressed, where it is long enough and that makes it shorter (SPEC §1). */
export function sealReport(crypto: Crypto, payload: Uint8Array, keyid: string, key: Uint8Array, gzip: Gzip | null = null): Promise<Envelope> {
  const compressed = gzip === null || payload.length < limits.compressedFromBytes ? payload : gzip(payload)
  const [payloadType, bytes] = compressed.length < payload.length ? [payloadTypes.compressedReport, compressed] : [payloadTypes.report, payload]
  return seal(payloadType, bytes, keyid, (signed) => crypto.hmac(key, signed))
}

/**
 * The payload of a report whose HMAC is right, as it was before it was compressed; nothing is decompressed before that. `keyFor` gives the key for a
 * key id or null when the id is not one of ours.
 */
export async function openReport(
  crypto: Crypto, gunzip: Gunzip, envelope: unknown, keyFor: (keyid: string) => Uint8Array | Promise<Uint8Array> | null,
): Promise<Result<{ payload: Uint8Array; keyid: string }, EnvelopeRefusal | { reason: 'over-limit' }>> {
  const parsed = parse(envelope, payloadTypes.report, payloadTypes.compressedReport)
  if (!parsed.ok) return parsed
  const { payloadType, payload } = parsed.value
  const { keyid, sig } = parsed.value.envelope.signatures[0]!
  const key = keyFor(keyid)
  if (key === null) return refuse({ reason: 'unknown-key', keyids: [keyid] })
  const expected = await crypto.hmac(await key, preAuthEncoding(payloadType, payload))
  if (!equalBytes(expected, fromBase64(sig))) return refuse({ reason: 'bad-signature', keyid })
  if (payloadType === payloadTypes.report) return ok({ payload, keyid })
  const opened = gunzip(payload, limits.reportBytesMax)
  if (opened.ok) return ok({ payload: opened.value, keyid })
  return refuse(opened.refusal === 'over-limit' ? { reason: 'over-limit' } : { reason: 'malformed', detail: 'not whole gzip' })
}

/** JSON bytes as a value of `schema`, or why not. Call it on payloads that were opened, never on an envelope's text. */
export function parsePayload<S extends z.ZodType>(schema: S, payload: Uint8Array): Result<z.output<S>, { reason: 'malformed'; detail: string }> {
  let value: unknown
  try {
    value = JSON.parse(wellFormedJson(fromUtf8(payload)))
  } catch {
    return refuse({ reason: 'malformed', detail: 'not UTF-8 JSON' })
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) return refuse({ reason: 'malformed', detail: z.prettifyError(parsed.error).slice(0, limits.reasonLengthMax) })
  return ok(parsed.data)
}
