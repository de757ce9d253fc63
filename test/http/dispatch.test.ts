import { expect, test } from 'vitest'
import { dispatchDirectives } from '../../functions/directive/dispatch.ts'
import { startController } from '../support/controller.ts'
import { addRelease, enrolSites } from '../support/practice-fleet.ts'
import { createRollout } from '../../functions/rollout/create.ts'
import { RolloutRequest } from '../../protocol/policy.ts'

test('no more is published in one invocation than the broker can take in one, and the next one goes on', async () => {
  const controller = await startController()
  await enrolSites(controller, Array.from({ length: 5 }, (_, i) => ({ id: `site-${i}` })))
  const release = await addRelease(controller, '1.0.0')
  await createRollout({ ...controller.context({ name: 'token:test', role: 'operator' }), background: () => undefined }, RolloutRequest.parse({ name: 'all', target: { release: release.id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: 5 } }))
  await controller.db.write([{ sql: 'UPDATE directive SET pending = 1, due_ms = 0', args: [] }])
  const before = controller.broker.messages.length
  const bounded = { ...controller.context(), broker: Object.assign(Object.create(controller.broker) as typeof controller.broker, { messagesMax: 4 }) }
  expect([await dispatchDirectives(bounded), await dispatchDirectives(bounded), await dispatchDirectives(bounded), await dispatchDirectives(bounded)]).toEqual([4, 4, 2, 0])
  expect(controller.broker.messages.length - before).toBe(10)
  controller.close()
})
