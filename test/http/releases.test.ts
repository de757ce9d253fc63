import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { confirmReleases } from '../../functions/release/confirm-all.ts'
import { confirmRelease } from '../../functions/release/confirm.ts'
import { canonicalJson, toBase64, utf8 } from '../../protocol/bytes.ts'
import { digestOf, payloadTypes, signEnvelope } from '../../protocol/envelope.ts'
import { limits } from '../../protocol/limits.ts'
import { storeKeys } from '../../protocol/manifest.ts'
import { callSigned, enrolledSite } from '../support/agent.ts'
import { makeKey, startController, type Controller } from '../support/controller.ts'
import { announce, makeRelease, putObjects, sealIndex, signManifest, type TestRelease } from '../support/release.ts'

let controller: Controller
beforeEach(async () => void (controller = await startController()))
afterEach(() => controller.close())

const trees = { web: { 'index.html': '<h1>shop</h1>', 'empty.txt': '' }, api: { 'server.js': 'serve()' } }
const create = (body: unknown) => controller.call('createRelease', { as: 'publisher', body })
const complete = (id: string) => controller.call('completeRelease', { as: 'publisher', params: { release: id } })
const stateOf = async (id: string) => (await controller.call('getRelease', { params: { release: id } })).body

async function publish(release: TestRelease, except: readonly string[] = []) {
  await announce(controller, release)
  await putObjects(controller, release, except)
  await complete(release.id)
  await confirmReleases(controller.context())
  return stateOf(release.id)
}

test('one run of confirming asks the store for no more than a Worker may, however many releases wait', async () => {
  const files = (version: number) => Object.fromEntries(Array.from({ length: 450 }, (_, i) => [`file-${i}`, `${version}/${i}`]))
  const ids: string[] = []
  for (const version of [1, 2, 3]) {
    const release = await makeRelease(`${version}.0.0`, { many: files(version) })
    await announce(controller, release)
    await putObjects(controller, release)
    await complete(release.id)
    ids.push(release.id)
  }
  let requests = 0
  const { store } = controller
  const counted = { ...store, head: (key: string) => (requests++, store.head(key)), get: (key: string, bytesMax: number) => (requests++, store.get(key, bytesMax)) }
  const available = async () => (await Promise.all(ids.map(stateOf))).filter(({ state }) => state === 'available').length
  for (const expected of [1, 2, 3]) {
    requests = 0
    await confirmReleases({ ...controller.context(), store: counted })
    expect(requests).toBeLessThan(1000)
    expect(await available()).toBe(expected)
  }
})

describe('a manifest is refused, and the refusal names what is wrong,', () => {
  test('without a signature, or by a key that is no publisher\'s', async () => {
    const release = await makeRelease('1.0.0', trees)
    const signed = await signManifest(release, controller.keys.publisher)
    const unsigned = await create({ manifest: { ...signed, signatures: [] }, index: release.indexRef })
    expect([unsigned.status, unsigned.body.errors[0].path]).toEqual([400, 'manifest.signatures'])
    for (const key of [await makeKey('stranger'), controller.keys.fleet, controller.keys.root]) {
      const { status, body } = await create({ manifest: await signManifest(release, key), index: release.indexRef })
      expect([status, body.reason]).toEqual([422, 'unknown-key'])
      expect(body.detail).toContain(key.keyid)
    }
  })

  test('with a signature that is not over these bytes', async () => {
    const release = await makeRelease('1.0.0', trees)
    const signed = await signManifest(release, controller.keys.publisher)
    const payload = toBase64(utf8(JSON.stringify({ ...release.manifest, version: '6.6.6' })))
    expect((await create({ manifest: { ...signed, payload }, index: release.indexRef })).body).toMatchObject({ status: 422, reason: 'bad-signature' })
  })

  test('of another kind of document that the same key signed', async () => {
    const release = await makeRelease('1.0.0', trees)
    const manifest = await signEnvelope(nodeCrypto, payloadTypes.directive, utf8(JSON.stringify(release.manifest)), controller.keys.publisher)
    expect((await create({ manifest, index: release.indexRef })).body).toMatchObject({ status: 422, reason: 'wrong-type' })
  })

  test('that is malformed, with the path of every fault', async () => {
    const release = await makeRelease('1.0.0', trees, { version: 'latest', signed: true })
    const { status, body } = await announce(controller, release)
    expect([status, body.reason]).toEqual([422, 'malformed'])
    expect(body.errors.map((error: { path: string }) => error.path)).toEqual(['manifest.version', 'manifest'])
  })

  test('that says a thing twice (F19)', async () => {
    const release = await makeRelease('1.0.0', trees)
    const text = JSON.stringify(release.manifest).replace('{"v":1', '{"v":1,"name":"other"')
    const manifest = await signEnvelope(nodeCrypto, payloadTypes.manifest, utf8(text), controller.keys.publisher)
    expect((await create({ manifest, index: release.indexRef })).body).toMatchObject({ status: 422, reason: 'malformed' })
  })
})

describe('name and version', () => {
  test('belong to one manifest for ever', async () => {
    expect((await announce(controller, await makeRelease('1.0.0', trees))).status).toBe(201)
    const { status, body } = await announce(controller, await makeRelease('1.0.0', { web: { 'index.html': 'other' } }))
    expect([status, body.reason]).toEqual([409, 'version-taken'])
  })

  test('announced again with the same manifest answer with what is there', async () => {
    const release = await makeRelease('1.0.0', trees)
    const [first, ...others] = await Promise.all(Array.from({ length: 4 }, () => announce(controller, release)))
    expect([first!, ...others].filter((answer) => answer.status === 201).length).toBeGreaterThan(0)
    expect((await announce(controller, release)).body).toEqual((await stateOf(release.id)))
    expect((await controller.call('listEvents', { query: { entity: `release/${release.id}` } })).body.items).toHaveLength(1)
  })
})

describe('the bytes of a release', () => {
  test('are asked for only where the store lacks them', async () => {
    const release = await makeRelease('1.0.0', trees)
    await announce(controller, release)
    const objects = [...release.objects].map(([digest, bytes]) => ({ digest, size: bytes.length }))
    await controller.store.put(storeKeys.object(objects[0]!.digest), release.objects.get(objects[0]!.digest)!, objects[0]!.digest)
    const { body } = await controller.call('signUploads', { as: 'publisher', params: { release: release.id }, body: { objects } })
    expect(body.objects.map((object) => [object.digest, object.present, object.upload?.method])).toEqual(objects.map(({ digest }, i) => [digest, i === 0, i === 0 ? undefined : 'PUT']))
  })

  test('make it available once the store has them all', async () => {
    const release = await makeRelease('1.0.0', trees)
    const view = await publish(release)
    expect(view).toMatchObject({ state: 'available', detail: '', objects: release.objects.size, objectsConfirmed: release.objects.size, contentBytes: 13 + 7 })
    expect(view.storedBytes).toBe([...release.objects.values()].reduce((sum, bytes) => sum + bytes.length, 0))
    expect((await controller.call('signUploads', { params: { release: release.id }, body: { objects: [{ digest: release.indexRef.digest, size: 1 }] } })).status).toBe(409)
  })

  test('that are missing reject it by name, and make it available once they came (F56)', async () => {
    const release = await makeRelease('1.0.0', trees)
    const missing = await digestOf(nodeCrypto, utf8('serve()'))
    const rejected = await publish(release, [missing])
    expect(rejected.state).toBe('rejected')
    expect(rejected.detail).toContain(missing)
    await putObjects(controller, release)
    await complete(release.id)
    await confirmReleases(controller.context())
    expect((await stateOf(release.id)).state).toBe('available')
  })

  test.each(['index', 'listing'])('are not complete without the %s (F6)', async (what) => {
    const release = await makeRelease('1.0.0', trees)
    const components = release.manifest.components as { tree: { digest: string } }[]
    const rejected = await publish(release, [what === 'index' ? release.indexRef.digest : components[1]!.tree.digest])
    expect(rejected.state).toBe('rejected')
    expect(rejected.detail).toMatch(what === 'index' ? /^delivery index: the store lacks/ : /^listing of api: the store lacks/)
  })

  test('that the index does not place reject it with the path of the file', async () => {
    const release = await makeRelease('1.0.0', trees)
    delete release.index.content[await digestOf(nodeCrypto, utf8('<h1>shop</h1>'))]
    release.indexRef = await sealIndex(release.index, release.objects)
    const rejected = await publish(release)
    expect([rejected.state, rejected.detail]).toEqual(['rejected', expect.stringContaining('web: index.html: the delivery index does not say where')])
  })

  test('of a wrong index are forgiven: the same manifest may bring another', async () => {
    const release = await makeRelease('1.0.0', trees)
    const good = { index: structuredClone(release.index), indexRef: release.indexRef }
    release.index.content = {}
    release.indexRef = await sealIndex(release.index, release.objects)
    expect((await publish(release)).state).toBe('rejected')
    expect((await publish({ ...release, ...good })).state).toBe('available')
  })

  test('whose listing does not add up to what the publisher signed reject it', async () => {
    const release = await makeRelease('1.0.0', trees)
    const [web] = release.manifest.components as { tree: { size: number } }[]
    web!.tree.size += 1
    const rejected = await publish(release)
    expect([rejected.state, rejected.detail]).toEqual(['rejected', expect.stringContaining('the manifest says 2 files of 14 bytes, the listing 2 of 13')])
  })

  test('whose listing is compressed or packed reject it: nobody could read it here', async () => {
    const release = await makeRelease('1.0.0', trees)
    const [web] = release.manifest.components as { tree: { digest: never; listingBytes: number } }[]
    release.index.content[web!.tree.digest] = { pack: web!.tree.digest, offset: 0, storedBytes: web!.tree.listingBytes, codec: 'none' }
    release.indexRef = await sealIndex(release.index, release.objects)
    expect((await publish(release)).detail).toContain('listing of web: a listing must be stored as an object of its own')
  })

  test('are left alone while the store does not answer, and the release waits (F56)', async () => {
    const release = await makeRelease('1.0.0', trees)
    await announce(controller, release)
    await putObjects(controller, release)
    await complete(release.id)
    const { head } = controller.store
    controller.store.head = () => Promise.reject(new Error('503 slow down'))
    await confirmReleases(controller.context())
    expect((await stateOf(release.id)).state).toBe('checking')
    expect(controller.logs.some((line) => line.event === 'release.unconfirmed')).toBe(true)
    controller.store.head = head
    await confirmReleases(controller.context())
    expect((await stateOf(release.id)).state).toBe('available')
  })

  test('are confirmed in bounded steps, by as many runs at once as there are (F48)', async () => {
    const files = Object.fromEntries(Array.from({ length: limits.uploadsPerRequestMax + 100 }, (_, i) => [`f${i}`, `content ${i}`]))
    const release = await makeRelease('1.0.0', { web: files })
    await announce(controller, release)
    await putObjects(controller, release)
    await complete(release.id)
    await Promise.all(Array.from({ length: 3 }, () => confirmRelease(controller.context(), release.id)))
    expect(await stateOf(release.id)).toMatchObject({ state: 'checking', objectsConfirmed: limits.uploadsPerRequestMax, detail: `500 of ${release.objects.size} objects are confirmed` })
    const { key } = await enrolledSite(controller, 'kiel')
    const [known] = await controller.db.orm.all<{ object: string }>('SELECT object FROM release_object LIMIT 1')
    expect((await callSigned(controller, 'signDownloads', { key, site: 'kiel', incarnation: 1 }, { body: { objects: [known!.object] } })).status).toBe(404)
    await Promise.all(Array.from({ length: 3 }, () => confirmRelease(controller.context(), release.id)))
    expect(await stateOf(release.id)).toMatchObject({ state: 'available', objectsConfirmed: release.objects.size })
    const rows = await controller.db.orm.all<{ n: number }>('SELECT count(*) AS n FROM release_object')
    expect(rows[0]!.n).toBe(release.objects.size)
    expect((await controller.call('listEvents', { query: { entity: `release/${release.id}` } })).body.items.map((event) => event.action)).toEqual(['release.announced', 'release.completed', 'release.available'])
  })
})

describe('an agent', () => {
  test('gets manifest, index and objects of a release that may be fetched, and nothing else', async () => {
    const { key } = await enrolledSite(controller, 'kiel')
    const agent = { key, site: 'kiel', incarnation: 1 }
    const release = await makeRelease('1.0.0', trees)
    const digest = await digestOf(nodeCrypto, utf8(JSON.stringify(release.manifest)))
    await announce(controller, release)
    await putObjects(controller, release)
    const objects = [...release.objects.keys()]
    expect((await callSigned(controller, 'getAgentManifest', agent, { params: { digest } })).status).toBe(404)
    expect((await callSigned(controller, 'signDownloads', agent, { body: { objects } })).status).toBe(404)
    await complete(release.id)
    await confirmReleases(controller.context())
    expect((await callSigned(controller, 'getAgentManifest', agent, { params: { digest } })).body).toMatchObject({ index: release.indexRef.digest, indexBytes: release.indexRef.size })
    const { body } = await callSigned(controller, 'signDownloads', agent, { body: { objects } })
    expect(body.downloads.map((download) => download.object)).toEqual(objects)
    const stranger = await callSigned(controller, 'signDownloads', agent, { body: { objects: [...objects, 'f'.repeat(64)] } })
    expect([stranger.status, stranger.body.detail]).toEqual([404, expect.stringContaining('f'.repeat(64))])
  })
})

test('a withdrawn release stays fetchable for the sites that have it, and takes no more bytes', async () => {
  const { key } = await enrolledSite(controller, 'kiel')
  const release = await makeRelease('1.0.0', trees)
  await publish(release)
  const withdrawn = await controller.call('withdrawRelease', { as: 'publisher', params: { release: release.id }, body: { reason: 'breaks the tills' }, headers: { 'idempotency-key': 'w' } })
  expect(withdrawn.body).toMatchObject({ state: 'withdrawn', detail: 'breaks the tills' })
  expect((await callSigned(controller, 'signDownloads', { key, site: 'kiel', incarnation: 1 }, { body: { objects: [release.indexRef.digest] } })).status).toBe(200)
  expect((await complete(release.id)).status).toBe(409)
})

test('releases are listed newest first, page by page', async () => {
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) {
    await announce(controller, await makeRelease(version, trees))
    if (version !== '1.1.0') controller.clock.advance(1000)
  }
  const first = (await controller.call('listReleases', { as: 'viewer', query: { limit: '2' } })).body
  const second = (await controller.call('listReleases', { as: 'viewer', query: { limit: '2', cursor: first.next! } })).body
  expect([...first.items, ...second.items].map((release) => release.id)).toEqual(['shop@1.2.0', 'shop@1.1.0', 'shop@1.0.0'])
  expect(second.next).toBeNull()
})

test('a manifest is shown as it was signed', async () => {
  const release = await makeRelease('1.0.0', trees)
  await announce(controller, release)
  const { body } = await controller.call('getManifest', { as: 'viewer', params: { release: release.id } })
  expect(body.envelope).toEqual(await signManifest(release, controller.keys.publisher))
  expect(canonicalJson(body.manifest.components.map((component) => component.name))).toBe('["web","api"]')
})
