import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Contract } from '../../protocol/http/contract.ts'
import { contracts, type ContractId } from '../../protocol/http/contracts.ts'
import { roles } from '../../protocol/states.ts'
import { callSigned, enrolledSite } from '../support/agent.ts'
import { startController, type Controller } from '../support/controller.ts'
import type { TestKey } from '../support/controller.ts'

// F68: every operation for every kind of caller. The table is written out here a second time, so that a mistake in the
// code's own table does not hide itself.
const admitted: Record<Contract['access'], string[]> = {
  public: ['nobody', 'viewer', 'operator', 'publisher', 'admin', 'ingest', 'agent'],
  viewer: ['viewer', 'operator', 'publisher', 'admin'],
  operator: ['operator', 'admin'],
  publisher: ['publisher', 'admin'],
  admin: ['admin'],
  ingest: ['ingest', 'admin'],
  agent: ['agent'],
}
const params = { site: 'no-such-site', release: 'nothing@1.0.0', rollout: `ro_${'0'.repeat(26)}`, token: `tk_${'0'.repeat(26)}`, digest: '0'.repeat(64) }

let controller: Controller
let agentKey: TestKey
beforeAll(async () => {
  controller = await startController()
  agentKey = (await enrolledSite(controller, 'caller')).key
})
afterAll(() => controller.close())

describe.each(Object.keys(contracts) as ContractId[])('%s', (id) => {
  const contract: Contract = contracts[id]
  test.each(['nobody', ...roles, 'agent'])(`called by %s is ${contract.access === 'public' ? 'answered' : 'judged by its role'} (F68)`, async (caller) => {
    const { status, body } = caller === 'agent'
      ? await callSigned(controller, id, { key: agentKey, site: 'caller', incarnation: 1 }, { params })
      : await controller.call(id, { as: roles.find((role) => role === caller) ?? null, params })
    if (admitted[contract.access].includes(caller)) expect(body?.code === 'unauthenticated' || body?.code === 'forbidden' || status >= 500, JSON.stringify(body)).toBe(false)
    else expect(status).toBe(caller === 'nobody' ? 401 : 403)
  })
})

test('no role is forgotten by the table', () => {
  expect(new Set(Object.values(admitted).flat())).toEqual(new Set(['nobody', 'agent', ...roles]))
})
