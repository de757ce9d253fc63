import { afterEach, beforeEach, expect, test } from 'vitest'
import { sealAudit } from '../../functions/audit/seal.ts'
import { verifyAudit } from '../../functions/audit/verify.ts'
import { interleave } from '../support/interleave.ts'
import { startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeEach(async () => {
  controller = await startController()
  for (const id of ['a', 'b', 'c', 'd']) await controller.call('createSite', { body: { id } })
})
afterEach(() => controller.close())

const tamper = (sql: string) => controller.db.write([{ sql, args: [] }])
const verify = (checkpoint?: Parameters<typeof verifyAudit>[1]) => verifyAudit(controller.context(), checkpoint)

test('an untouched trail verifies, and goes on verifying as it grows', async () => {
  const first = await sealAudit(controller.context())
  expect(await verify()).toEqual({ ok: true, head: first })
  await controller.call('createSite', { body: { id: 'e' } })
  expect(await verify()).toEqual({ ok: true, head: first })
  const second = await sealAudit(controller.context())
  expect(second.seq).toBe(first.seq + 1)
  expect(await verify(first)).toEqual({ ok: true, head: second })
  expect(controller.logs.filter((line) => line.event === 'audit.sealed').map((line) => line.facts)).toEqual([first, second])
})

test.each([
  ['an entry whose words were edited', "UPDATE audit SET why = 'nothing happened' WHERE seq = 3", { seq: 3, fault: 'changed' }],
  ['an entry whose actor was edited', "UPDATE audit SET actor = 'token:somebody' WHERE seq = 1", { seq: 1, fault: 'changed' }],
  ['an entry that was deleted', 'DELETE FROM audit WHERE seq = 2', { seq: 2, fault: 'missing' }],
  ['a beginning that was cut off', 'DELETE FROM audit WHERE seq <= 2', { seq: 1, fault: 'missing' }],
  ['an end that was cut off', 'DELETE FROM audit WHERE seq >= 4', { seq: 4, fault: 'missing' }],
  ['two entries that changed places', 'UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END WHERE seq IN (2, 3)', { seq: 2, fault: 'changed' }],
  ['a seal that was taken off', 'UPDATE audit SET seal = NULL WHERE seq = 3', { seq: 3, fault: 'unsealed' }],
])('%s is found (F74)', async (_, sql, verdict) => {
  await sealAudit(controller.context())
  await tamper(sql)
  await tamper('UPDATE audit SET seq = -seq WHERE seq < 0')
  expect(await verify()).toEqual({ ok: false, ...verdict })
})

test('a database that was set back to an earlier state is found by a head noted elsewhere (F74)', async () => {
  const early = await sealAudit(controller.context())
  await controller.call('createSite', { body: { id: 'e' } })
  const late = await sealAudit(controller.context())
  await tamper(`DELETE FROM audit WHERE seq > ${early.seq}`)
  await tamper(`UPDATE setting SET value = '${JSON.stringify(early)}' WHERE key = 'audit-chain'`)
  expect(await verify()).toMatchObject({ ok: true })
  expect(await verify(late)).toEqual({ ok: false, seq: late.seq, fault: 'checkpoint' })
})

test('a chain that was computed anew is found by a head noted elsewhere (F74)', async () => {
  const noted = await sealAudit(controller.context())
  await tamper("UPDATE audit SET why = 'nothing happened', seal = NULL WHERE seq = 2")
  await tamper("UPDATE audit SET seal = NULL")
  await tamper("DELETE FROM setting WHERE key = 'audit-chain'")
  await sealAudit(controller.context())
  expect(await verify()).toMatchObject({ ok: true })
  expect(await verify(noted)).toEqual({ ok: false, seq: noted.seq, fault: 'checkpoint' })
})

test('runs of the sealing job at the same moment leave one chain, whose head never goes back (F48)', async () => {
  await Promise.all(Array.from({ length: 5 }, () => sealAudit(controller.context())))
  await controller.call('createSite', { body: { id: 'e' } })
  await sealAudit(interleave(controller.context(), async () => {
    await controller.call('createSite', { body: { id: 'f' } })
    await sealAudit(controller.context())
  }))
  expect(await verify()).toMatchObject({ ok: true, head: { seq: 7 } })
})

test('more entries than one run seals are sealed by the next ones', async () => {
  const rows = JSON.stringify(Array.from({ length: 1100 }, (_, i) => i))
  await controller.db.write([{ sql: "INSERT INTO audit (at_ms, actor, action, entity, why, detail, request_id) SELECT 0, 'a', 'b', 'c', value, '{}', 'r' FROM json_each(?)", args: [rows] }])
  const heads = [await sealAudit(controller.context()), await sealAudit(controller.context()), await sealAudit(controller.context()), await sealAudit(controller.context())]
  expect(heads.map((head) => head.seq)).toEqual([500, 1000, 1105, 1105])
  expect(await verify()).toMatchObject({ ok: true })
})

test('the trail is followed with `after`, by entity and by site', async () => {
  const all = (await controller.call('listEvents', { as: 'viewer' })).body
  expect(all.items.map((event) => event.seq)).toEqual([1, 2, 3, 4, 5])
  const rest = (await controller.call('listEvents', { query: { after: '3', limit: '1' } })).body
  expect([rest.items.map((event) => event.seq), rest.last]).toEqual([[4], 4])
  expect((await controller.call('listEvents', { query: { after: '5' } })).body).toEqual({ items: [], last: 5 })
  expect((await controller.call('listEvents', { query: { site: 'c' } })).body.items.map((event) => event.entity)).toEqual(['site/c'])
})
