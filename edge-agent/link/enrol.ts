import * as z from 'zod'
import { fromBase64, fromUtf8, toBase64, toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { agentContracts, enrolmentProof } from '../../protocol/http/agent.ts'
import { SiteId } from '../../protocol/ids.ts'
import { openTrust } from '../../protocol/trust.ts'
import { agentVersion } from '../agent-version.ts'
import { parseConfig, type AgentConfig } from '../config.ts'
import type { Files, Host } from '../host/host.ts'
import { readIdentity, readTrust, writeIdentity } from '../identity.ts'
import { explain } from '../log.ts'
import { statePaths } from '../state-paths.ts'
import { createController } from './controller.ts'

export type EnrolRequest = {
  controllerUrl: string
  site: string
  claim: string
  rootFingerprint: string
  stateDirectory: string
  nodes: readonly { name: string; root: string; personality: string; hasAgent: boolean }[]
  /** Gives up an identity this directory already has; its releases and history stay. */
  replace: boolean
}

/** Why a site was not enrolled; the message says what to do. */
export class EnrolError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'EnrolError'
  }
}

const PendingKey = z.strictObject({ claimDigest: z.string(), publicKey: z.base64(), privateKey: z.base64() })

/**
 * Makes a key at the site, binds it to the site with a one-time claim, and stores who the site is from now on. A
 * second run with the same claim after a sudden end sends the same key again, so that the claim is not lost.
 */
export async function enrol(host: Host, crypto: Crypto, request: EnrolRequest): Promise<AgentConfig> {
  const paths = statePaths(request.stateDirectory)
  const { controllerUrl, rootFingerprint, stateDirectory, nodes } = request
  const kept = await keptConfig(host.files, paths.config)
  const draft = (fleet: string): AgentConfig => parseConfig({ ...kept, site: request.site, fleet, controllerUrl, rootFingerprint, stateDirectory, nodes })
  draft('unknown-yet')
  await host.files.makeDirectory(paths.root)
  if (!request.replace && (await readIdentity(host.files, paths)) !== null) throw new EnrolError(`${paths.root} belongs to an enrolled site; use --replace to give that up`)
  const key = await pendingKey(host, crypto, paths.pendingKey, request.claim)
  const proof = await crypto.sign(fromBase64(key.privateKey), utf8(enrolmentProof(request.site, request.claim, key.publicKey)))
  const site = SiteId.parse(request.site)
  const enrolment = await createController(host, crypto, request.controllerUrl.replace(/\/+$/, ''), null).call(agentContracts.enrol, {
    body: { site, claim: request.claim, publicKey: key.publicKey, proof: toBase64(proof), agentVersion },
  })
  if (enrolment.site !== site) throw new EnrolError(`the controller answered for ${enrolment.site}, not ${site}`)
  const config = draft(enrolment.fleet)
  const held = await readTrust(host.files, crypto, paths, config).catch(() => null)
  const trust = await openTrust(crypto, enrolment.trust, { rootFingerprint: config.rootFingerprint, fleet: config.fleet, heldVersion: held?.version ?? null })
  if (!trust.ok) throw new EnrolError(`the controller's trust.json is not to be believed: ${JSON.stringify(trust.refusal)}`)
  // The configuration first: an identity is what makes a directory an enrolled site's.
  await host.files.writeDurable(paths.config, utf8(`${JSON.stringify(config, null, 2)}\n`))
  if (held === null) await host.files.remove(paths.trust)
  await writeIdentity(host.files, paths, { v: 1, privateKey: key.privateKey, enrolment })
  await host.files.remove(paths.pendingKey)
  return config
}

/** What an `agent.json` that is there already says beyond what enrolment does: whoever looks after the site wrote it, and nobody else knows it. */
async function keptConfig(files: Files, path: string): Promise<Partial<AgentConfig>> {
  if ((await files.facts(path)) === null) return {}
  try {
    return parseConfig(JSON.parse(fromUtf8(await files.read(path))))
  } catch (error) {
    throw new EnrolError(`${path} is there and cannot be kept: mend it, or remove it. ${explain(error)}`)
  }
}

async function pendingKey(host: Host, crypto: Crypto, path: string, claim: string): Promise<z.infer<typeof PendingKey>> {
  const claimDigest = toHex(await crypto.sha256(utf8(claim)))
  if ((await host.files.facts(path)) !== null) {
    const pending = PendingKey.safeParse(JSON.parse(fromUtf8(await host.files.read(path))))
    if (pending.success && pending.data.claimDigest === claimDigest) return pending.data
  }
  const pair = await crypto.generateKeyPair()
  const made = { claimDigest, publicKey: toBase64(pair.publicKey), privateKey: toBase64(pair.privateKey) }
  await host.files.writeDurable(path, utf8(JSON.stringify(made)), 0o600)
  return made
}
