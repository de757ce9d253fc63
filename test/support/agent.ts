import { toBase64, utf8 } from '../../protocol/bytes.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { enrolmentProof } from '../../protocol/http/agent.ts'
import { signAgentRequest } from '../../protocol/http/agent-signature.ts'
import type { Contract } from '../../protocol/http/contract.ts'
import { contracts, type ContractId } from '../../protocol/http/contracts.ts'
import { SiteId } from '../../protocol/ids.ts'
import { makeKey, pathOf, type Call, type Controller, type TestKey } from './controller.ts'

/** What an enrolling agent sends: its key, and a proof that it holds the private half. */
export async function enrolBody(key: TestKey, site: string, claim: string) {
  const publicKey = toBase64(key.pair.publicKey)
  return { site, claim, publicKey, proof: toBase64(await nodeCrypto.sign(key.privateKey, utf8(enrolmentProof(site, claim, publicKey)))), agentVersion: '1.0.0' }
}

/** Adds a site and enrols an agent with a new key there. */
export async function enrolledSite(controller: Controller, id: string, settings: Record<string, unknown> = {}) {
  const created = await controller.call('createSite', { body: { id, ...settings } })
  const key = await makeKey(id)
  const enrolled = await controller.call('enrol', { as: null, body: await enrolBody(key, id, created.body.claim.claim) })
  return { key, enrolment: enrolled.body, claim: created.body.claim.claim }
}

/** Calls an operation with an agent's signature. */
export async function callSigned<I extends ContractId>(controller: Controller, id: I, agent: { key: TestKey; site: string; incarnation: number; timeMs?: number }, options: Call<I> = {}) {
  const contract: Contract = contracts[id]
  const body = utf8(options.body === undefined ? '' : JSON.stringify(options.body))
  const who = { site: SiteId.parse(agent.site), incarnation: agent.incarnation, timeMs: agent.timeMs ?? controller.clock.nowMs(), nonce: '0123456789abcdef'.repeat(2) }
  const authorization = await signAgentRequest(nodeCrypto, agent.key.privateKey, contract.method, pathOf(contract, options), body, who)
  return controller.call(id, { ...options, authorization })
}
