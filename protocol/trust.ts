import * as z from 'zod'
import { fromBase64 } from './bytes.ts'
import type { Crypto } from './crypto.ts'
import { keyIdOf, openEnvelope, parsePayload, payloadTypes, type EnvelopeRefusal, type VerifyingKeys } from './envelope.ts'
import { FleetId, KeyId, TimeMs } from './ids.ts'
import { limits } from './limits.ts'
import { ok, refuse, type Result } from './result.ts'

/** A public key as `trust.json` lists it: `publicKey` is base64 of the raw 32 bytes, `keyid` its digest. */
export const TrustedKey = z.strictObject({ keyid: KeyId, publicKey: z.base64().length(44), name: z.string().max(100).default('') })
export type TrustedKey = z.infer<typeof TrustedKey>

/** `trust.json`: what the offline root key says about all others. Only a higher `version` replaces one that is held (SPEC I3). */
export const Trust = z.strictObject({
  v: z.literal(1),
  fleet: FleetId,
  version: z.int().positive(),
  issuedAtMs: TimeMs,
  rootKey: TrustedKey,
  publisherKeys: z.array(TrustedKey).max(limits.trustKeysMax),
  fleetKeys: z.array(TrustedKey).min(1).max(limits.trustKeysMax),
})
export type Trust = z.infer<typeof Trust>

export type TrustRefusal =
  | EnvelopeRefusal
  | { reason: 'wrong-root'; fingerprint: string; actual: string }
  | { reason: 'key-id-mismatch'; keyid: string }
  | { reason: 'wrong-fleet'; expected: string; actual: string }
  | { reason: 'older'; held: number; offered: number }

export const verifyingKeys = (keys: readonly TrustedKey[]): VerifyingKeys => new Map(keys.map((key) => [key.keyid, fromBase64(key.publicKey)]))

/**
 * Believes a `trust.json` only if the root key with this fingerprint signed it, for this fleet, with a version not
 * below the one held. `held` is null at enrolment.
 */
export async function openTrust(
  crypto: Crypto, envelope: unknown, expected: { rootFingerprint: string; fleet?: FleetId; heldVersion: number | null },
): Promise<Result<Trust, TrustRefusal>> {
  const preview = peekRoot(envelope)
  if (preview === null) return refuse({ reason: 'malformed', detail: 'no root key in the trust document' })
  const publicKey = fromBase64(preview.publicKey)
  const fingerprint = await keyIdOf(crypto, publicKey)
  if (fingerprint !== expected.rootFingerprint) return refuse({ reason: 'wrong-root', fingerprint: expected.rootFingerprint, actual: fingerprint })
  const opened = await openEnvelope(crypto, envelope, payloadTypes.trust, new Map([[fingerprint, publicKey]]))
  if (!opened.ok) return opened
  const parsed = parsePayload(Trust, opened.value.payload)
  if (!parsed.ok) return parsed
  const trust = parsed.value
  for (const key of [trust.rootKey, ...trust.publisherKeys, ...trust.fleetKeys]) {
    if ((await keyIdOf(crypto, fromBase64(key.publicKey))) !== key.keyid) return refuse({ reason: 'key-id-mismatch', keyid: key.keyid })
  }
  if (expected.fleet !== undefined && trust.fleet !== expected.fleet) return refuse({ reason: 'wrong-fleet', expected: expected.fleet, actual: trust.fleet })
  if (expected.heldVersion !== null && trust.version < expected.heldVersion) return refuse({ reason: 'older', held: expected.heldVersion, offered: trust.version })
  return ok(trust)
}

/** The root key a trust document claims: only its fingerprint, which the caller holds, makes the claim worth anything. */
function peekRoot(envelope: unknown): TrustedKey | null {
  const parsed = z.object({ payload: z.base64().max(limits.envelopeBytesMax) }).safeParse(envelope)
  if (!parsed.success) return null
  const trust = parsePayload(Trust, fromBase64(parsed.data.payload))
  return trust.ok ? trust.value.rootKey : null
}
