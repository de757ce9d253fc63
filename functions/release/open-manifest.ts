import * as z from 'zod'
import { digestOf, openEnvelope, payloadTypes, type Envelope, type EnvelopeRefusal } from '../../protocol/envelope.ts'
import { FleetError, issuesOf } from '../../protocol/errors.ts'
import type { Digest, KeyId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { Manifest } from '../../protocol/manifest.ts'
import { controllerProtocols } from '../../protocol/protocol-versions.ts'
import { assertNever } from '../../protocol/result.ts'
import { verifyingKeys } from '../../protocol/trust.ts'
import { requireTrust } from '../auth/trust.ts'
import type { Ctx } from '../context.ts'
import { parseStrictJson } from '../http/strict-json.ts'

/** The manifest that a publisher of the installed trust.json signed. Every refusal names what is wrong: `unprocessable`, or `conflict` without a trust.json. */
export async function openManifest(ctx: Ctx, envelope: Envelope): Promise<{ manifest: Manifest; digest: Digest; publisherKey: KeyId }> {
  const { trust } = await requireTrust(ctx)
  const opened = await openEnvelope(ctx.crypto, envelope, payloadTypes.manifest, verifyingKeys(trust.publisherKeys))
  if (!opened.ok) throw refusalError(opened.refusal)
  const { payload, keyid } = opened.value
  if (payload.length > limits.manifestBytesMax) throw new FleetError('too-large', `the manifest is ${payload.length} bytes long; the limit is ${limits.manifestBytesMax}`)
  return { manifest: parseManifest(payload), digest: await digestOf(ctx.crypto, payload), publisherKey: keyid }
}

/** What can be read of a manifest that is newer than this controller. */
const NeededProtocol = z.object({ protocolMin: z.int() })

function parseManifest(payload: Uint8Array): Manifest {
  let value: unknown
  try {
    value = parseStrictJson(payload)
  } catch (error) {
    throw new FleetError('unprocessable', `the manifest is not valid JSON: ${(error as SyntaxError).message}`, { reason: 'malformed' })
  }
  const needed = NeededProtocol.safeParse(value)
  if (needed.success && needed.data.protocolMin > controllerProtocols.max) {
    throw new FleetError('unprocessable', `the manifest needs protocol ${needed.data.protocolMin}, and this controller speaks up to ${controllerProtocols.max}: deploy a newer one first`, { reason: 'protocol' })
  }
  const parsed = Manifest.safeParse(value)
  if (parsed.success) return parsed.data
  const errors = issuesOf(parsed.error).map(({ path, message }) => ({ path: path === '(body)' ? 'manifest' : `manifest.${path}`, message }))
  throw new FleetError('unprocessable', `the manifest is not valid: ${errors.map((e) => `${e.path}: ${e.message}`).slice(0, 5).join('; ')}`, { reason: 'malformed', errors })
}

function refusalError(refusal: EnvelopeRefusal): FleetError {
  const { reason } = refusal
  switch (reason) {
    case 'malformed': return new FleetError('unprocessable', `the envelope is malformed: ${refusal.detail}`, { reason })
    case 'wrong-type': return new FleetError('unprocessable', `the payload type is ${refusal.actual}, not ${refusal.expected}`, { reason })
    case 'unknown-key': return new FleetError('unprocessable', `no publisher key of the installed trust.json signed it; signatures are by ${refusal.keyids.join(', ')}`, { reason })
    case 'bad-signature': return new FleetError('unprocessable', `the signature by ${refusal.keyid} is wrong`, { reason })
    default: return assertNever(reason)
  }
}
