import { canonicalJson, toBase64, utf8 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { payloadTypes, signEnvelope, type Envelope } from '../../protocol/envelope.ts'
import { openTrust, Trust, type TrustedKey } from '../../protocol/trust.ts'
import { CliError } from '../cli-error.ts'
import type { OwnKey } from './key-file.ts'

export type TrustChanges = { addPublishers: readonly TrustedKey[]; addFleetKeys: readonly TrustedKey[]; remove: readonly string[] }

/**
 * A trust.json signed by the root: a first one for `fleet`, or `previous` with the changes and the next version. Throws
 * CliError when `previous` is not this root's or of another fleet, or a key to be removed is not in it.
 */
export async function signTrust(root: OwnKey, options: { previous: unknown; fleet: string | null; changes: TrustChanges; nowMs: number }): Promise<{ envelope: Envelope; trust: Trust }> {
  const previous = options.previous === null ? null : await openPrevious(root, options.previous)
  const fleet = previous?.fleet ?? options.fleet
  if (fleet === null) throw new CliError('usage', 'a first trust.json needs --fleet, the name of the fleet it is for')
  if (options.fleet !== null && options.fleet !== fleet) throw new CliError('usage', `this trust.json is for the fleet ${fleet}, not ${options.fleet}`)
  const parsed = Trust.safeParse({
    v: 1, fleet, version: (previous?.version ?? 0) + 1, issuedAtMs: options.nowMs,
    rootKey: previous?.rootKey ?? { keyid: root.keyid, publicKey: toBase64(root.publicKey), name: 'root' },
    ...changeKeys(previous, options.changes),
  })
  if (!parsed.success) throw new CliError('usage', 'that would not be a valid trust.json', { details: parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) })
  return { envelope: await signEnvelope(webCrypto, payloadTypes.trust, utf8(canonicalJson(parsed.data)), root), trust: parsed.data }
}

async function openPrevious(root: OwnKey, envelope: unknown): Promise<Trust> {
  const opened = await openTrust(webCrypto, envelope, { rootFingerprint: root.keyid, heldVersion: null })
  if (opened.ok) return opened.value
  throw new CliError('not-verified', `the present trust.json is not one that this root key signed (${opened.refusal.reason})`)
}

function changeKeys(previous: Trust | null, { addPublishers, addFleetKeys, remove }: TrustChanges): Pick<Trust, 'publisherKeys' | 'fleetKeys'> {
  const held = [...(previous?.publisherKeys ?? []), ...(previous?.fleetKeys ?? [])]
  const matches = (key: TrustedKey, text: string): boolean => key.name === text || (text.length >= 8 && key.keyid.startsWith(text))
  for (const text of remove) {
    const found = held.filter((key) => matches(key, text)).length
    if (found !== 1) throw new CliError('usage', `${found === 0 ? 'no key' : 'more than one key'} of this trust.json is called ${text}, or has an id that begins so`)
  }
  const change = (keys: readonly TrustedKey[], added: readonly TrustedKey[]): TrustedKey[] => {
    const kept = keys.filter((key) => !remove.some((text) => matches(key, text)) && !added.some((other) => other.keyid === key.keyid))
    return [...kept, ...added]
  }
  return { publisherKeys: change(previous?.publisherKeys ?? [], addPublishers), fleetKeys: change(previous?.fleetKeys ?? [], addFleetKeys) }
}
