import { statement } from '../../db/client.ts'
import { setting } from '../../db/schema/operations.ts'
import { fromBase64 } from '../../protocol/bytes.ts'
import { keyIdOf, parsePayload, type Envelope } from '../../protocol/envelope.ts'
import { FleetError } from '../../protocol/errors.ts'
import { openTrust, Trust, type TrustRefusal } from '../../protocol/trust.ts'
import { assertNever } from '../../protocol/result.ts'
import { recordEvents } from '../audit/record.ts'
import type { Ctx } from '../context.ts'
import { loadTrust, trustKey, type StoredTrust } from './trust.ts'

/**
 * Installs a trust.json. The first one decides the root, on the word of the admin who brings it; every later one must
 * come from the same root with a higher version (SPEC I3). It must list this controller's own fleet key, or no agent
 * would follow a directive again. Installing the one that is installed changes nothing. Throws `unprocessable`, `conflict`.
 */
export async function putTrust(ctx: Ctx, envelope: Envelope): Promise<{ version: number; rootFingerprint: string }> {
  const held = await loadTrust(ctx)
  const rootFingerprint = held?.rootFingerprint ?? (await rootOf(ctx, envelope))
  const opened = await openTrust(ctx.crypto, envelope, { rootFingerprint, fleet: ctx.config.fleet, heldVersion: held?.version ?? null })
  if (!opened.ok) throw refusalError(opened.refusal)
  const { version, fleetKeys } = opened.value
  if (held !== null && version === held.version) {
    if (held.envelope.payload === envelope.payload) return { version, rootFingerprint }
    throw new FleetError('conflict', `another trust.json of version ${version} is installed; give this one a higher version`, { reason: 'same-version' })
  }
  const own = ctx.keys.fleetKey().keyid
  if (!fleetKeys.some((key) => key.keyid === own)) throw new FleetError('unprocessable', `fleetKeys must contain this controller's own key ${own}`, { reason: 'fleet-key-missing' })
  const value: StoredTrust = { version, rootFingerprint, envelope }
  const install = statement(ctx.db.orm.insert(setting).values({ key: trustKey, value }).onConflictDoUpdate({ target: setting.key, set: { value } }))
  const event = { action: 'trust.installed', entity: `trust/${version}`, why: held === null ? 'the first trust.json' : `replaces version ${held.version}`, detail: { version, rootFingerprint } }
  await ctx.db.write([install, recordEvents(ctx, [event])], [{ sql: "SELECT value->>'version' FROM setting WHERE key = ?", args: [trustKey], is: held?.version ?? null }])
  return { version, rootFingerprint }
}

/** Trust on first use: the fingerprint of the root key that the document itself names; its signature is checked with that key. */
async function rootOf(ctx: Ctx, envelope: Envelope): Promise<string> {
  const parsed = parsePayload(Trust, fromBase64(envelope.payload))
  if (!parsed.ok) throw refusalError(parsed.refusal)
  return keyIdOf(ctx.crypto, fromBase64(parsed.value.rootKey.publicKey))
}

function refusalError(refusal: TrustRefusal): FleetError {
  const { reason } = refusal
  switch (reason) {
    case 'malformed': return new FleetError('unprocessable', `the trust document is malformed: ${refusal.detail}`, { reason })
    case 'wrong-type': return new FleetError('unprocessable', `the payload type is ${refusal.actual}, not ${refusal.expected}`, { reason })
    case 'unknown-key': return new FleetError('unprocessable', `the root did not sign it; signatures are by ${refusal.keyids.join(', ')}`, { reason })
    case 'bad-signature': return new FleetError('unprocessable', `the signature by ${refusal.keyid} is wrong`, { reason })
    case 'wrong-root': return new FleetError('unprocessable', `it names the root ${refusal.actual}, but this fleet's root is ${refusal.fingerprint}`, { reason })
    case 'key-id-mismatch': return new FleetError('unprocessable', `the key id ${refusal.keyid} is not the digest of its public key`, { reason })
    case 'wrong-fleet': return new FleetError('unprocessable', `it is for the fleet ${refusal.actual}, and this is ${refusal.expected}`, { reason })
    case 'older': return new FleetError('conflict', `version ${refusal.held} is installed, and ${refusal.offered} is older`, { reason })
    default: return assertNever(reason)
  }
}
