import { afterEach, beforeEach, expect, test } from 'vitest'
import { GuardLost } from '../../db/client.ts'
import { putTrust } from '../../functions/auth/put-trust.ts'
import { toBase64, utf8 } from '../../protocol/bytes.ts'
import { FleetId } from '../../protocol/ids.ts'
import { makeKey, signTrust, startController, type Controller } from '../support/controller.ts'
import { interleave } from '../support/interleave.ts'

let controller: Controller
beforeEach(async () => void (controller = await startController({ trust: false })))
afterEach(() => controller.close())

const install = async (trust: Parameters<Controller['signTrust']>[0]) => {
  const { status, body } = await controller.installTrust(trust)
  return status === 200 ? body.version : body.reason
}

test('the first trust.json decides the root; later ones need its signature and a higher version', async () => {
  expect((await controller.call('getTrust', { as: null })).status).toBe(404)
  expect(await install({ version: 3 })).toBe(3)
  expect(await install({ version: 2 })).toBe('older')
  expect(await install({ version: 3, issuedAtMs: 5 })).toBe('same-version')
  expect(await install({ version: 3 })).toBe(3)
  expect(await install({ version: 4 })).toBe(4)
  expect((await controller.call('getTrust', { as: null })).body).toEqual(await controller.signTrust({ version: 4 }))
  expect((await controller.call('whoAmI')).body.rootFingerprint).toBe(controller.keys.root.keyid)
})

test('another root is refused once there is one, even with a higher version', async () => {
  await install({ version: 1 })
  const stranger = await makeKey('stranger')
  const { status, body } = await controller.call('putTrust', { body: await signTrust(stranger, { version: 9, publisherKeys: [], fleetKeys: [controller.keys.fleet.trusted] }) })
  expect([status, body.reason]).toEqual([422, 'wrong-root'])
})

test('a trust.json that would cut this controller off from its agents is refused', async () => {
  expect(await install({ fleetKeys: [(await makeKey('other fleet key')).trusted] })).toBe('fleet-key-missing')
  expect(await install({ fleet: FleetId.parse('another-fleet') })).toBe('wrong-fleet')
})

test('a changed, unsigned-by-root or unreadable document is refused with what is wrong', async () => {
  const signed = await controller.signTrust({ version: 1 })
  const forged = { ...signed, payload: (await controller.signTrust({ version: 7 })).payload }
  const unreadable = { ...signed, payload: toBase64(utf8('{"v": 2}')) }
  expect((await controller.call('putTrust', { body: forged })).body).toMatchObject({ status: 422, reason: 'bad-signature' })
  expect((await controller.call('putTrust', { body: unreadable })).body).toMatchObject({ status: 422, reason: 'malformed' })
  expect((await controller.call('putTrust', { body: { ...signed, signatures: [] } })).status).toBe(400)
  expect((await controller.call('getTrust', { as: null })).status).toBe(404)
})

test('of two documents installed at the same moment, the older never ends up installed over the newer', async () => {
  await install({ version: 1 })
  const older = putTrust(interleave(controller.context(), () => install({ version: 3 })), await controller.signTrust({ version: 2 }))
  await expect(older).rejects.toBeInstanceOf(GuardLost)
  expect((await controller.call('getTrust', { as: null })).body).toEqual(await controller.signTrust({ version: 3 }))
})
