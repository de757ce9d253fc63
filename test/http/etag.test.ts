import { afterAll, beforeAll, expect, test } from 'vitest'
import { startController, type Controller } from '../support/controller.ts'

let controller: Controller
beforeAll(async () => {
  controller = await startController()
  await controller.call('createSite', { body: { id: 'kiel' } })
})
afterAll(() => controller.close())

const params = { site: 'kiel' }

test('of two changes based on the same version the second is refused (F53)', async () => {
  const tag = (await controller.call('getSite', { params })).headers.get('etag')!
  const first = await controller.call('updateSite', { params, body: { labels: { by: 'first' } }, headers: { 'if-match': tag } })
  const second = await controller.call('updateSite', { params, body: { labels: { by: 'second' } }, headers: { 'if-match': tag } })
  expect([first.status, second.status]).toEqual([200, 412])
  expect(first.headers.get('etag')).not.toBe(tag)
  expect((await controller.call('getSite', { params })).body.labels).toEqual({ by: 'first' })
})

test('of changes at the same moment exactly one lands (F53)', async () => {
  const tag = (await controller.call('getSite', { params })).headers.get('etag')!
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => controller.call('updateSite', { params, body: { labels: { by: `c${i}` } }, headers: { 'if-match': tag } })))
  expect(answers.map((answer) => answer.status).sort()).toEqual([200, ...Array<number>(7).fill(412)])
})

test('a read of what has not changed costs no body', async () => {
  const tag = (await controller.call('getSite', { params })).headers.get('etag')!
  const response = await controller.send('GET', '/v1/sites/kiel', { authorization: `Bearer ${controller.tokens.viewer}`, headers: { 'if-none-match': `"999", W/${tag}` } })
  expect([response.status, await response.text()]).toEqual([304, ''])
})

test('an If-Match that is not one of our tags is refused rather than ignored', async () => {
  for (const tag of ['7', 'W/"7"', '"a"', '"1", "2"']) {
    const answer = await controller.call('updateSite', { params, body: { labels: {} }, headers: { 'if-match': tag } })
    expect(answer.status, tag).toBe(400)
  }
  expect((await controller.call('removeSite', { params, headers: { 'if-match': '"999"' } })).status).toBe(412)
})

test('without If-Match, and with *, a change is made to whatever is there', async () => {
  expect((await controller.call('updateSite', { params, body: { labels: { a: 'b' } } })).status).toBe(200)
  expect((await controller.call('updateSite', { params, body: { labels: {} }, headers: { 'if-match': '*' } })).status).toBe(200)
})
