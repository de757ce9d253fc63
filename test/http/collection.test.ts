import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { confirmReleases } from '../../functions/release/confirm-all.ts'
import { removeObjects } from '../../functions/release/remove-objects.ts'
import { createRollout } from '../../functions/rollout/create.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { RolloutRequest } from '../../protocol/policy.ts'
import { startController, type Controller } from '../support/controller.ts'
import { enrolSites, operator, runFleet, startRollout } from '../support/practice-fleet.ts'
import type { PracticeSite } from '../support/practice-site.ts'
import { announce, makeRelease, putObjects, type TestRelease } from '../support/release.ts'

const dayMs = 86_400_000
let controller: Controller
beforeEach(async () => void (controller = await startController()))
afterEach(() => controller.close())

const complete = (id: string) => controller.call('completeRelease', { as: 'publisher', params: { release: id } })
const stateOf = async (id: string) => (await controller.call('getRelease', { params: { release: id } })).body
const collect = async (body: object = {}) => (await controller.call('collectReleases', { body })).body
const apply = (more: object = {}) => collect({ dryRun: false, ...more })
const withdraw = (id: string) => controller.call('withdrawRelease', { as: 'publisher', params: { release: id }, body: { reason: 'bad' } })
const uploads = (release: TestRelease) => controller.call('signUploads', { as: 'publisher', params: { release: release.id }, body: { objects: [...release.objects].map(([digest, bytes]) => ({ digest, size: bytes.length })) } })
const stored = async (release: TestRelease) => (await Promise.all([...release.objects.keys()].map((digest) => controller.store.head(storeKeys.object(digest))))).filter((facts) => facts !== null).length

/** An available release whose page says `text`; `shared` is a file that others may have too. */
async function publish(version: string, shared = 'the same everywhere'): Promise<TestRelease> {
  const release = await makeRelease(version, { web: { 'page.html': `page of ${version}`, 'shared.txt': shared } })
  await announce(controller, release)
  await uploads(release)
  await putObjects(controller, release)
  await complete(release.id)
  await confirmReleases(controller.context())
  expect((await stateOf(release.id)).state).toBe('available')
  return release
}

const deploy = async (fleet: ReadonlyMap<string, PracticeSite>, id: string, more: object = {}) => {
  const view = await startRollout(controller, { name: id, target: { release: id }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }], maxParallel: 5 }, ...more })
  await runFleet(controller, fleet)
  return view.id
}
const whyKept = async (id: string, body: object = {}): Promise<string | undefined> => (await collect(body)).kept.find(({ release }) => release === id)?.why

describe('a withdrawn release', () => {
  test('that nobody uses goes with its objects; what another release has of them stays', async () => {
    const [one, two] = [await publish('1.0.0'), await publish('1.1.0')]
    await withdraw(one.id)
    const planned = await collect()
    expect([planned.dryRun, planned.collected.map(({ release }) => release), planned.kept, planned.removing]).toEqual([true, [one.id], [], 0])
    expect(await stored(one)).toBe(one.objects.size)
    const done = await apply()
    expect([done.freed, done.removed, done.removing, done.next]).toEqual([planned.freed, planned.freed, 0, null])
    expect(planned.freed.objects).toBe(one.objects.size - 1)
    expect([await stored(one), await stored(two)]).toEqual([1, two.objects.size])
    expect((await stateOf(one.id))).toMatchObject({ state: 'withdrawn', detail: 'bad; its objects were collected' })
    const events = (await controller.call('listEvents', { query: { entity: `release/${one.id}` } })).body.items
    expect(events.at(-1)).toMatchObject({ action: 'release.collected', why: expect.stringContaining('it was withdrawn') })
    expect((await apply()).collected).toEqual([])
  })

  test('keeps its name and version for ever', async () => {
    const one = await publish('1.0.0')
    await withdraw(one.id)
    await apply()
    expect((await announce(controller, await makeRelease('1.0.0', { web: { 'page.html': 'another' } }))).body.reason).toBe('version-taken')
    expect((await uploads(one)).body.reason).toBe('collected')
    expect((await complete(one.id)).body.reason).toBe('collected')
  })

  test('stays while a site runs it, ran it before, or is about to get it, and says which', async () => {
    const releases = [await publish('1.0.0'), await publish('1.1.0'), await publish('1.2.0')] as const
    const fleet = await enrolSites(controller, [{ id: 'alpha' }, { id: 'beta' }])
    await deploy(fleet, releases[0].id)
    for (const release of releases) await withdraw(release.id)
    expect(await whyKept(releases[0].id)).toContain('runs at site alpha and 1 more')
    expect((await apply()).collected.map(({ release }) => release)).toEqual([releases[1].id, releases[2].id])
    expect(await stored(releases[0])).toBe(releases[0].objects.size)
  })

  test('stays while a return could bring it back, and goes once the sites have moved on twice', async () => {
    const [one, two, three] = [await publish('1.0.0'), await publish('1.1.0'), await publish('1.2.0')]
    const fleet = await enrolSites(controller, [{ id: 'alpha' }])
    await deploy(fleet, one.id)
    const second = await deploy(fleet, two.id)
    await withdraw(one.id)
    // the site itself may have forgotten what it ran before
    fleet.get('alpha')!.previous = null
    await fleet.get('alpha')!.connect()
    expect(await whyKept(one.id)).toBe(`could be returned to from ${second}`)
    await deploy(fleet, three.id)
    expect((await apply()).collected.map(({ release }) => release)).toEqual([one.id])
  })

  test('stays while a site that is parked may still get it', async () => {
    const one = await publish('1.0.0')
    const fleet = await enrolSites(controller, [{ id: 'alpha', offline: true }, { id: 'beta' }])
    const rollout = await deploy(fleet, one.id)
    await withdraw(one.id)
    await controller.db.write([{ sql: `UPDATE site SET state = 'removed' WHERE id = 'beta'`, args: [] }])
    expect(await whyKept(one.id)).toBe(`is brought by ${rollout}`)
    expect((await apply()).collected).toEqual([])
  })

  test('stays while a completed rollout stands for joiners, and goes once another has taken its place', async () => {
    const [one, two] = [await publish('1.0.0'), await publish('1.1.0')]
    const fleet = await enrolSites(controller, [{ id: 'alpha' }])
    const rollout = await deploy(fleet, one.id, { policy: { waves: [{ name: 'all', size: 'rest' }], joiners: 'include' } })
    // the site is gone, and a new one came in its place
    await controller.db.write([{ sql: `UPDATE site SET state = 'removed'`, args: [] }])
    await withdraw(one.id)
    expect(await whyKept(one.id)).toBe(`is the target of ${rollout}`)
    await deploy(await enrolSites(controller, [{ id: 'beta' }]), two.id, { replaces: 'all' })
    expect((await apply()).collected.map(({ release }) => release)).toEqual([one.id])
  })

  test('stays while sites of a restored database have not said what they run (F58)', async () => {
    const one = await publish('1.0.0')
    await enrolSites(controller, [{ id: 'alpha' }])
    await withdraw(one.id)
    await controller.db.write([{ sql: `INSERT INTO restored_site (site_id, verdict, restored_ms) VALUES ('alpha', 'unheard', 1)`, args: [] }])
    expect(await whyKept(one.id)).toContain('1 sites have not said what they run')
    expect((await apply()).collected).toEqual([])
    // what it runs may be made of the same objects, and nobody here knows
    await controller.db.write([{ sql: `UPDATE restored_site SET heard_ms = 2`, args: [] }, { sql: `UPDATE site SET running = '{"id":"shop@2.0.0","digest":"of the lost hour"}'`, args: [] }])
    expect(await whyKept(one.id)).toContain('only the object store remembers')
    expect((await apply()).collected).toEqual([])
    await controller.db.write([{ sql: `UPDATE site SET running = NULL`, args: [] }])
    expect((await apply()).collected).toHaveLength(1)
  })
})

describe('other releases', () => {
  test('that are available go only when asked for, when nothing was done with them for so long, and never the newest of a name', async () => {
    const [one, two] = [await publish('1.0.0'), await publish('1.1.0')]
    controller.clock.advance(100 * dayMs)
    expect((await collect()).collected).toEqual([])
    expect((await collect({ unusedFor: '101d' })).collected).toEqual([])
    expect(await whyKept(two.id, { unusedFor: '90d' })).toBe('it is the newest of its name')
    expect((await apply({ unusedFor: '90d' })).collected.map(({ release, state }) => [release, state])).toEqual([[one.id, 'available']])
    expect((await stateOf(one.id)).state).toBe('withdrawn')
    const answer = await controller.call('createRollout', { body: { name: 'x', target: { release: one.id }, selector: { all: true } } })
    expect(answer.status).toBe(422)
  })

  test('that were abandoned or rejected go after a while, and may be announced again', async () => {
    const [lost, broken] = [await makeRelease('1.0.0', { web: { 'a.txt': 'a' } }), await makeRelease('1.1.0', { web: { 'b.txt': 'b' } })]
    for (const release of [lost, broken]) {
      await announce(controller, release)
      await uploads(release)
      await putObjects(controller, release, [release.indexRef.digest])
    }
    await complete(broken.id)
    await confirmReleases(controller.context())
    expect((await stateOf(broken.id)).state).toBe('rejected')
    expect((await collect()).collected).toEqual([])
    controller.clock.advance(2 * dayMs)
    expect((await apply()).collected.map(({ release }) => release)).toEqual([broken.id])
    controller.clock.advance(6 * dayMs)
    expect((await apply()).collected.map(({ release }) => release)).toEqual([lost.id])
    expect([await stored(lost), await stored(broken)]).toEqual([0, 0])
    expect((await announce(controller, broken)).body).toMatchObject({ state: 'uploading', detail: 'its objects are being uploaded' })
    await uploads(broken)
    await putObjects(controller, broken)
    await complete(broken.id)
    await confirmReleases(controller.context())
    expect((await stateOf(broken.id)).state).toBe('available')
  })
})

describe('at the same moment', () => {
  const all = RolloutRequest.parse({ name: 'x', target: { release: 'shop@1.0.0' }, selector: { all: true } })

  test('a rollout that is created and a collection do not both win', async () => {
    await publish('1.0.0')
    await publish('1.1.0')
    await enrolSites(controller, [{ id: 'alpha' }])
    controller.clock.advance(100 * dayMs)
    const ends = await Promise.allSettled([createRollout(operator(controller), all), apply({ unusedFor: '90d' })])
    const [row] = await controller.db.orm.all<{ collected: number; rollouts: number }>('SELECT (SELECT collected_ms IS NOT NULL FROM release WHERE id = \'shop@1.0.0\') AS collected, (SELECT count(*) FROM rollout) AS rollouts')
    expect(row!.collected + row!.rollouts, JSON.stringify(ends)).toBe(1)
  })

  test('a rollout whose release was collected after it was looked at is not created', async () => {
    const one = await publish('1.0.0')
    await enrolSites(controller, [{ id: 'alpha' }])
    const { write } = controller.db
    const ctx = operator(controller)
    const late: typeof ctx = { ...ctx, db: { ...controller.db, write: async (statements, guards) => {
      await write([{ sql: 'UPDATE release SET collected_ms = 1 WHERE id = ?', args: [one.id] }])
      return write(statements, guards)
    } } }
    await expect(createRollout(late, all)).rejects.toThrow('a guard of the batch was lost')
    expect((await controller.call('listRollouts')).body.items).toEqual([])
  })

  test('a release that claims an object that is to go takes it back', async () => {
    const one = await publish('1.0.0')
    await withdraw(one.id)
    const { store } = controller.deps
    controller.deps.store = { ...store, remove: () => Promise.reject(new Error('the store is away')) }
    const failed = await controller.call('collectReleases', { body: { dryRun: false } })
    expect(failed.status).toBe(500)
    controller.deps.store = store
    // its lot is taken: whoever wants one of the objects has to wait until it is known what became of them
    const two = await makeRelease('1.1.0', { web: { 'page.html': 'page of 1.0.0', 'shared.txt': 'new' } })
    await announce(controller, two)
    const refused = await uploads(two)
    expect([refused.status, refused.body.reason]).toEqual([503, 'being-removed'])
    controller.clock.advance(11 * 60_000)
    expect((await removeObjects(controller.context())).objects).toBe(one.objects.size)
    const answer = await uploads(two)
    expect(answer.body.objects.every(({ present }) => !present)).toBe(true)
    expect(await stored(one)).toBe(0)
  })

  test('an object that waits for its removal is kept for whoever claims it first', async () => {
    const one = await publish('1.0.0')
    await withdraw(one.id)
    const { write } = controller.db
    controller.deps.db = { ...controller.db, write: (statements, guards) => (statements[0]!.sql.includes('UPDATE object_removal') ? Promise.reject(new Error('killed')) : write(statements, guards)) }
    expect((await controller.call('collectReleases', { body: { dryRun: false } })).status).toBe(500)
    controller.deps.db = controller.db
    const two = await makeRelease('1.1.0', { web: { 'page.html': 'page of 1.0.0', 'shared.txt': 'new' } })
    await announce(controller, two)
    const shared = (await uploads(two)).body.objects.filter(({ present }) => present).map(({ digest }) => digest)
    expect(shared).toHaveLength(1)
    while ((await removeObjects(controller.context())).objects > 0);
    expect(await controller.store.head(storeKeys.object(shared[0]!))).not.toBeNull()
    expect(await stored(one)).toBe(1)
  })

  test('a collection that is killed between the database and the store is gone on with by the schedule, once', async () => {
    const one = await publish('1.0.0')
    await withdraw(one.id)
    const { store } = controller.deps
    controller.deps.store = { ...store, remove: () => Promise.reject(new Error('killed')) }
    await controller.call('collectReleases', { body: { dryRun: false } })
    controller.deps.store = store
    expect((await removeObjects(controller.context())).objects).toBe(0)
    controller.clock.advance(11 * 60_000)
    const runs = await Promise.all([1, 2, 3].map(() => removeObjects(controller.context())))
    expect(runs.reduce((sum, { objects }) => sum + objects, 0)).toBe(one.objects.size)
    expect([await stored(one), await removeObjects(controller.context())]).toEqual([0, { objects: 0, bytes: 0 }])
  })
})

test('many releases are gone through page by page, also past those that stay', async () => {
  const fleet = await enrolSites(controller, [{ id: 'alpha' }])
  const first = await publish('1.0.0')
  await deploy(fleet, first.id)
  await controller.db.write([{
    sql: `INSERT INTO release (id, name, digest, state, detail, envelope, manifest, publisher_key, index_digest, index_bytes, content_bytes, stored_bytes, objects, objects_confirmed, created_ms, available_ms, version)
          SELECT 'bulk@0.0.' || value, 'bulk', printf('%064d', value), 'withdrawn', '', envelope, manifest, '', '', 1, 1, 1, 0, 0, value, NULL, 1 FROM release, json_each(?) WHERE release.id = 'shop@1.0.0'`,
    args: [JSON.stringify(Array.from({ length: 120 }, (_, i) => i))],
  }])
  await withdraw(first.id)
  const sizes: number[] = []
  let cursor: string | null = null
  do {
    const page: Awaited<ReturnType<typeof collect>> = await apply(cursor === null ? {} : { cursor })
    sizes.push(page.collected.length)
    cursor = page.next
  } while (cursor !== null)
  expect(sizes).toEqual([50, 50, 20])
})
