import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { selects, parseSelector } from '../../protocol/labels.ts'
import { enrolledSite } from '../support/agent.ts'
import { startController, type Answer, type Controller } from '../support/controller.ts'

let controller: Controller
beforeEach(async () => void (controller = await startController()))
afterEach(() => controller.close())

describe('a new site', () => {
  test('comes with the line to enrol its agent', async () => {
    const { status, body } = await controller.call('createSite', { body: { id: 'kiel' } })
    expect(status).toBe(201)
    expect(body.site).toMatchObject({ id: 'kiel', state: 'claimed', presence: 'unknown', incarnation: 0, timeZone: 'UTC', version: 1 })
    expect(body.claim.enrolLine).toBe(`murmur-agent enrol --controller https://fleet.test --site kiel --claim ${body.claim.claim} --root ${controller.rootFingerprint}`)
  })

  test('is refused while no trust.json says what its agent may believe', async () => {
    const bare = await startController({ trust: false })
    const { status, body } = await bare.call('createSite', { body: { id: 'kiel' } })
    expect([status, body.reason]).toEqual([409, 'no-trust'])
    bare.close()
  })

  test('is refused under a name that is in use', async () => {
    await controller.call('createSite', { body: { id: 'kiel' } })
    const { status, body } = await controller.call('createSite', { body: { id: 'kiel' } })
    expect([status, body.reason]).toEqual([409, 'exists'])
  })

  test.each([['Kiel'], ['+'], ['#'], ['a/b'], ['$SYS'], ['a\0b'], ['x'.repeat(64)], ['']])('is refused under the name %j, which would mean something in a topic (F39)', async (id) => {
    expect((await controller.call('createSite', { body: { id } })).status).toBe(400)
  })

  test.each([
    ['windows that never open', { windows: [{ cron: 'every night', duration: '3h' }, { cron: '0 0 30 2 *', duration: '1h' }] }, ['windows.0.cron', 'windows.1.cron']],
    ['freezes that cannot be', { freezes: [{ from: '2027-01-06', to: '2026-12-20' }, { from: '2026-02-30', to: '2026-13-01' }] }, ['freezes.0.to', 'freezes.1.from', 'freezes.1.to']],
  ])('is refused with %s, all named at once', async (_, settings, paths) => {
    const { status, body } = await controller.call('createSite', { body: { id: 'kiel', ...settings } })
    expect([status, body.errors.map((error: { path: string }) => error.path)]).toEqual([400, paths])
  })
})

describe('a list of sites', () => {
  const sites: { id: string; labels: Record<string, string> }[] = [
    { id: 'a', labels: { region: 'north', tier: 'gold' } }, { id: 'b', labels: { region: 'south', tier: 'gold' } }, { id: 'c', labels: { region: 'north' } },
    { id: 'd', labels: { 'example.com/tier': 'silver', 'region': '' } }, { id: 'e', labels: {} },
  ]
  beforeEach(async () => {
    for (const body of sites) await controller.call('createSite', { body })
  })
  const idsOf = async (query: Record<string, string>) => (await controller.call('listSites', { as: 'viewer', query })).body.items.map((site) => site.id)

  test.each(['region=north', 'region!=north', 'tier in (gold,silver)', 'tier notin (gold)', 'tier', '!tier', 'region=north,tier=gold', 'example.com/tier=silver', 'region=', '*'])(
    'that is selected by %j is what the selector means', async (labelSelector) => {
      const meant = sites.filter((site) => selects(parseSelector(labelSelector), site)).map((site) => site.id)
      expect(await idsOf({ labelSelector })).toEqual(meant)
    })

  test('that is selected by nothing is empty (F77)', async () => {
    expect(await idsOf({ labelSelector: '' })).toEqual([])
    expect(await idsOf({})).toHaveLength(sites.length)
  })

  test('is not fooled by a selector that tries to be SQL (F73)', async () => {
    for (const labelSelector of [`region='; DROP TABLE site`, `x" OR 1=1 --`, `a in (b) OR 1=1`]) expect((await controller.call('listSites', { query: { labelSelector } })).status).toBe(400)
    expect(await idsOf({})).toHaveLength(sites.length)
  })

  test('is walked page by page without missing or repeating one', async () => {
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page: Answer<'listSites'> = await controller.call('listSites', { query: { limit: '2', ...(cursor === null ? {} : { cursor }) } })
      seen.push(...page.body.items.map((site) => site.id))
      cursor = page.body.next
    } while (cursor !== null && seen.length < 20)
    expect(seen).toEqual(['a', 'b', 'c', 'd', 'e'])
  })
})

describe('removing a site', () => {
  test('shuts its agent out and frees its name, whose next incarnation goes on counting (F31)', async () => {
    await enrolledSite(controller, 'kiel')
    expect(controller.broker.admitted.get('kiel')).toBe(1)
    expect((await controller.call('removeSite', { params: { site: 'kiel' } })).status).toBe(204)
    expect(controller.broker.admitted.has('kiel')).toBe(false)
    expect((await controller.call('listSites')).body.items).toEqual([])
    expect((await controller.call('getSite', { params: { site: 'kiel' } })).body.state).toBe('removed')
    expect((await controller.call('updateSite', { params: { site: 'kiel' }, body: { labels: {} } })).status).toBe(404)
    const { enrolment } = await enrolledSite(controller, 'kiel')
    expect(enrolment.incarnation).toBe(2)
  })

  test('can be repeated until the broker has heard of it', async () => {
    await enrolledSite(controller, 'kiel')
    controller.broker.reachable = false
    const { status, body } = await controller.call('removeSite', { params: { site: 'kiel' } })
    expect([status, body.reason, body.retry]).toEqual([503, 'broker', true])
    controller.broker.reachable = true
    expect((await controller.call('removeSite', { params: { site: 'kiel' } })).status).toBe(204)
    expect(controller.broker.admitted.has('kiel')).toBe(false)
  })
})

test('a change is written to the audit trail with who made it', async () => {
  await controller.call('createSite', { body: { id: 'kiel' } })
  await controller.call('updateSite', { as: 'operator', params: { site: 'kiel' }, body: { labels: { tier: 'gold' } } })
  const { body } = await controller.call('listEvents', { as: 'viewer', query: { entity: 'site/kiel' } })
  expect(body.items.map((event) => [event.actor, event.action])).toEqual([['token:admin', 'site.created'], ['token:operator', 'site.updated']])
})
