import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { boundObjectStore } from '../../functions/adapters/bound-object-store.ts'
import { createDiskObjectStore } from '../../functions/adapters/node/disk-object-store.ts'
import type { ObjectStore } from '../../functions/ports/object-store.ts'
import { confirmReleases } from '../../functions/release/confirm-all.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { startController, type Controller } from '../support/controller.ts'
import { enrolSites, startRollout } from '../support/practice-fleet.ts'
import { announce, makeRelease, putObjects, type TestRelease } from '../support/release.ts'

let controller: Controller
let good: ObjectStore
beforeEach(async () => {
  controller = await startController()
  good = controller.deps.store
})
afterEach(() => controller.close())

/** The store as a platform bounds it, with some of its verbs spoilt. */
const spoil = (verbs: Partial<ObjectStore>): void => void (controller.deps.store = boundObjectStore({ ...good, ...verbs }, 50))
const failing = async (): Promise<never> => Promise.reject(new Error('InternalError: we encountered an internal error'))
const hanging = (): Promise<never> => new Promise(() => undefined)

const trees = (text: string) => ({ web: { 'index.html': text } })
const complete = (id: string) => controller.call('completeRelease', { as: 'publisher', params: { release: id } })
const stateOf = async (id: string) => (await controller.call('getRelease', { params: { release: id } })).body
const uploads = (release: TestRelease) => controller.call('signUploads', { as: 'publisher', params: { release: release.id }, body: { objects: [...release.objects].map(([digest, bytes]) => ({ digest, size: bytes.length })) } })
async function bring(version: string): Promise<TestRelease> {
  const release = await makeRelease(version, trees(version))
  await announce(controller, release)
  await putObjects(controller, release)
  await complete(release.id)
  return release
}
const confirm = () => confirmReleases(controller.context())

describe.each([['answers with errors', failing, 'it failed'], ['does not answer', hanging, 'it did not answer in time']])('a store that %s (F56)', (_, spoilt, detail) => {
  test('makes requests that need it unavailable, and says why', async () => {
    const release = await makeRelease('1.0.0', trees('a'))
    await announce(controller, release)
    spoil({ head: spoilt })
    const answer = await uploads(release)
    expect([answer.status, answer.body.code, answer.body.retry, answer.body.reason]).toEqual([503, 'unavailable', true, 'object-store'])
    expect(answer.body.detail).toContain(detail)
    expect((await controller.call('listReleases')).status).toBe(200)
  })

  test('keeps a release from becoming available, says so on it, and lets it go on when it is well again', async () => {
    const release = await bring('1.0.0')
    for (const verbs of [{ head: spoilt }, { get: spoilt }]) {
      spoil(verbs)
      await confirm()
      expect(await stateOf(release.id)).toMatchObject({ state: 'checking', detail: expect.stringContaining(detail) })
    }
    controller.deps.store = good
    await confirm()
    expect(await stateOf(release.id)).toMatchObject({ state: 'available', detail: '' })
  })
})

test('releases whose objects the store does not give do not keep others from being confirmed', async () => {
  const stuck = []
  for (const version of ['1.0.0', '1.1.0', '1.2.0', '1.3.0']) stuck.push(await bring(version))
  const bad = new Set(stuck.map((release) => storeKeys.object(release.indexRef.digest)))
  const last = await bring('2.0.0')
  spoil({ head: async (key) => (bad.has(key) ? failing() : good.head(key)) })
  for (let run = 0; run < 3; run++) {
    controller.clock.advance(1000)
    await confirm()
  }
  expect((await stateOf(last.id)).state).toBe('available')
  expect((await stateOf(stuck[0]!.id)).state).toBe('checking')
})

test('a store that gives other bytes than it was given does not make a release available', async () => {
  const release = await bring('1.0.0')
  spoil({ get: async (key, bytesMax) => (await good.get(key, bytesMax))!.map((byte) => byte ^ 1) })
  await confirm()
  expect(await stateOf(release.id)).toMatchObject({ state: 'rejected', detail: expect.stringContaining('are not the ones it is named by') })
})

test('a store that loses an object between two looks makes the release rejected, naming it, until it is there again', async () => {
  const release = await bring('1.0.0')
  const [lost] = [...release.objects.keys()]
  await good.remove([storeKeys.object(lost!)])
  await confirm()
  expect(await stateOf(release.id)).toMatchObject({ state: 'rejected', detail: expect.stringContaining(lost!) })
  await putObjects(controller, release)
  await complete(release.id)
  await confirm()
  expect((await stateOf(release.id)).state).toBe('available')
})

test('an object that is lost after its release was available shows on the release once a site misses it, and can be put back', async () => {
  const release = await bring('1.0.0')
  await confirm()
  const fleet = await enrolSites(controller, [{ id: 'alpha' }])
  await startRollout(controller, { name: 'x', target: { release: release.id }, selector: { all: true } })
  const alpha = fleet.get('alpha')!
  await alpha.takeGrant()
  await alpha.reportStart()
  const [lost] = [...release.objects.keys()]
  await good.remove([storeKeys.object(lost!)])
  alpha.attempt = { ...alpha.attempt!, phase: 'ended', outcome: 'failed', fault: { code: 'object-missing', detail: `object ${lost!}: the object store does not have it` } }
  await alpha.say({ kind: 'progress', attempt: alpha.attempt, running: null, previous: null, nodes: [] })
  const missing = await stateOf(release.id)
  expect(missing).toMatchObject({ state: 'available', detail: expect.stringContaining(`site alpha could not fetch all of it, publish it again: object ${lost!}`) })
  expect((await uploads(release)).body.objects.filter(({ present }) => !present).map(({ digest }) => digest)).toEqual([lost])
  await putObjects(controller, release)
  expect((await complete(release.id)).body).toMatchObject({ state: 'available', detail: '' })
  // the site's hello tells of the same attempt again
  await alpha.connect()
  expect((await stateOf(release.id)).detail).toBe('')
  expect((await uploads(release)).status).toBe(409)
})

test('the disk store forgets uploads that nobody goes on with, and keeps younger ones', async () => {
  const root = await mkdtemp(join(tmpdir(), 'murmur-store-'))
  try {
    const store = createDiskObjectStore({ root, signer: good })
    expect(await store.unfinished!.sweep(Date.now())).toBe(0)
    const key = storeKeys.object('a'.repeat(64))
    await store.receive(key, { sha256: 'a'.repeat(64), size: 10 }, 0, new Blob(['abc']).stream())
    await writeFile(join(root, 'arriving', 'old'), 'what a killed process left')
    await utimes(join(root, 'arriving', 'old'), 1, 1)
    expect(await store.unfinished!.sweep(Date.now() - 86_400_000)).toBe(1)
    expect(await store.received(key, { sha256: 'a'.repeat(64), size: 10 })).toBe(3)
    expect(await readdir(join(root, 'arriving'))).toHaveLength(1)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
})
