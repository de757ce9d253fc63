import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createClient } from '../../cli/client.ts'
import { readKeyFile } from '../../cli/keys/key-file.ts'
import { publishRelease, type PublishOptions } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { confirmReleases } from '../../functions/release/confirm-all.ts'
import { startBench, type Bench } from './command.support.ts'

const examples = resolve(import.meta.dirname, '../../examples')
const sign = (version: string): string => join(examples, `sign-${version}/release.yaml`)

let bench: Bench
beforeEach(async () => void (bench = await startBench()))
afterEach(() => bench.close())

const publish = (file: string, more: Parameters<Bench['murmur']>[1] = {}) => bench.murmur(['release', 'publish', file, '--key', bench.keyPath], { as: 'publisher', ...more })

/** A release with one file of chance bytes, which no compression makes shorter. */
async function makeRelease(version: string, sizeBytes: number): Promise<{ file: string; blob: string; yaml: string }> {
  const source = join(bench.directory, `big-${version}`)
  await mkdir(source)
  const blob = join(source, 'blob')
  await writeFile(blob, randomBytes(sizeBytes))
  const yaml = `name: big\nversion: ${version}\ncomponents:\n  - name: blob\n    source: big-${version}\n    driver: files\n    target: /srv/big\n`
  const file = join(bench.directory, `${version}.yaml`)
  await writeFile(file, yaml)
  return { file, blob, yaml }
}

type Put = { offset: number; sent: number }
/** Passes requests on and notes the uploads; lets `breakAfter` bytes of the first upload through, and nothing after that. */
function watchUploads(breakAfter = Number.POSITIVE_INFINITY): { fetch: typeof fetch; puts: Put[] } {
  const puts: Put[] = []
  let broken = false
  const watched: typeof fetch = async (input, init) => {
    if (broken) throw new TypeError('the network is gone')
    if (init?.method !== 'PUT' || !String(input).includes('/objects/')) return bench.reach(input, init)
    const put: Put = { offset: Number(new Headers(init.headers).get('upload-offset') ?? 0), sent: 0 }
    puts.push(put)
    const body = (init.body as ReadableStream<Uint8Array>).pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, control) {
        if (put.sent + chunk.length > breakAfter) {
          broken = true
          return control.error(new TypeError('the cable was pulled'))
        }
        put.sent += chunk.length
        control.enqueue(chunk)
      },
    }))
    return bench.reach(input, { ...init, body })
  }
  return { fetch: watched, puts }
}

test('the examples are published, and become available', async () => {
  const first = await publish(sign('1.0.0'))
  expect([first.code, first.err]).toEqual([0, expect.stringContaining('sign@1.0.0 is available')])
  expect((await publish(sign('1.1.0'))).code).toBe(0)
  const list = await bench.murmur(['release', 'list', '-o', 'name'])
  expect(list.out).toBe('sign@1.1.0\nsign@1.0.0\n')
  const verified = await bench.murmur(['release', 'verify', 'sign@1.0.0', '--root-fingerprint', bench.controller.keys.root.keyid, '--source', sign('1.0.0')])
  expect([verified.code, verified.out]).toEqual([0, expect.stringContaining('source     equal')])
})

test('publishing what is published already uploads nothing and succeeds', async () => {
  await publish(sign('1.0.0'))
  const { fetch, puts } = watchUploads()
  const again = await publish(sign('1.0.0'), { fetch })
  expect([again.code, puts]).toEqual([0, []])
})

test('content of an earlier release of the same name is not stored again', async () => {
  const one = await makeRelease('1.0.0', 300_000)
  expect((await publish(one.file)).code).toBe(0)
  const two = await makeRelease('1.1.0', 1000)
  await writeFile(join(bench.directory, 'big-1.1.0', 'same'), await readFile(one.blob))
  const { fetch, puts } = watchUploads()
  expect((await publish(two.file, { fetch })).code).toBe(0)
  expect(puts.reduce((sum, put) => sum + put.sent, 0)).toBeLessThan(10_000)
})

test('when the store has lost what an earlier release brought, everything is stored anew', async () => {
  const one = await makeRelease('1.0.0', 300_000)
  await publish(one.file)
  const two = await makeRelease('1.1.0', 1000)
  await writeFile(join(bench.directory, 'big-1.1.0', 'same'), await readFile(one.blob))
  const index = await bench.controller.call('getManifest', { params: { release: 'big@1.0.0' } })
  const { objects } = await (await bench.reach(index.body.index.url)).json() as { objects: Record<string, number> }
  const [digest] = Object.entries(objects).find(([, size]) => size === 300_000)!
  await bench.controller.store.remove([`objects/${digest.slice(0, 2)}/${digest}`])
  expect((await publish(two.file)).code).toBe(0)
  expect((await bench.controller.call('getRelease', { params: { release: 'big@1.1.0' } })).body.state).toBe('available')
})

test('an upload that was interrupted is resumed when the command is repeated, and the bytes that arrived are not sent again', async () => {
  const size = 3_000_000
  const { file } = await makeRelease('1.0.0', size)
  const broken = watchUploads(2_000_000)
  const first = await publish(file, { fetch: broken.fetch })
  expect(first.code).toBe(6)
  const whole = watchUploads()
  const second = await publish(file, { fetch: whole.fetch })
  expect([second.code, second.err]).toEqual([0, expect.stringContaining('big@1.0.0 is available')])
  const resumed = whole.puts.find((put) => put.offset > 0)
  expect(resumed).toBeDefined()
  expect(resumed!.offset + resumed!.sent).toBe(size)
})

test('an upload that breaks off once goes on by itself', async () => {
  const { file } = await makeRelease('1.0.0', 2_000_000)
  let failed = false
  const fetch: typeof globalThis.fetch = async (input, init) => {
    if (init?.method !== 'PUT' || failed || !String(input).includes('/objects/')) return bench.reach(input, init)
    failed = true
    return new Response('busy', { status: 503, headers: { 'retry-after': '1' } })
  }
  const waits: number[] = []
  const ended = await publish(file, { fetch, sleep: async (spanMs) => {
    waits.push(spanMs)
    await confirmReleases(bench.controller.context())
  } })
  expect(ended.code).toBe(0)
  expect(waits[0]).toBeGreaterThanOrEqual(1000)
})

test('a key that trust.json does not list is refused before anything is stored', async () => {
  await bench.murmur(['key', 'create', 'publisher', 'stranger.key'])
  const ended = await bench.murmur(['release', 'publish', sign('1.0.0'), '--key', 'stranger.key'], { as: 'publisher' })
  expect([ended.code, ended.err]).toEqual([9, expect.stringContaining('no publisher key')])
  expect((await bench.controller.call('listReleases')).body.items).toEqual([])
})

test('a key that others can read is refused', async () => {
  await chmod(bench.keyPath, 0o640)
  const ended = await publish(sign('1.0.0'))
  expect([ended.code, ended.err]).toEqual([2, expect.stringContaining('chmod 600')])
})

test('a faulty release.yaml is refused with the line of every fault', async () => {
  const { file, yaml } = await makeRelease('1.0.0', 10)
  await writeFile(file, yaml.replace('version: 1.0.0', 'version: one').replace('target: /srv/big', 'target: srv\n    colour: red'))
  const ended = await publish(file)
  expect(ended.code).toBe(2)
  expect(ended.err).toContain('1.0.0.yaml:2:1: version: must be a semantic version')
  expect(ended.err).toContain('1.0.0.yaml:7:5: components.0.target: must be an absolute path')
  expect(ended.err).toMatch(/1\.0\.0\.yaml:8:5: .*colour/)
  await writeFile(file, 'name: big\nname: small\n')
  const broken = await publish(file)
  expect([broken.code, broken.err]).toEqual([2, expect.stringMatching(/1\.0\.0\.yaml:2:1: /)])
})

test('a source directory that is missing, and a script that cannot run, are named (F10 F16)', async () => {
  const { file, yaml } = await makeRelease('1.0.0', 10)
  await writeFile(file, yaml.replace('source: big-1.0.0', 'source: nowhere'))
  expect((await publish(file)).err).toMatch(/component blob: there is no directory .*nowhere/)
  await writeFile(file, yaml.replace(/driver: files\n.*\n/, 'driver: script\n    apply: blob\n    irreversible: true\n'))
  await chmod(join(bench.directory, 'big-1.0.0', 'blob'), 0o644)
  expect((await publish(file)).err).toContain('component blob: blob is not executable')
})

test('other content under a version that is taken is refused, and the difference is named', async () => {
  const { file, blob } = await makeRelease('1.0.0', 100)
  await publish(file)
  await writeFile(blob, 'something else')
  const ended = await publish(file)
  expect([ended.code, ended.err]).toEqual([4, expect.stringContaining('component blob: other files')])
  const verified = await bench.murmur(['release', 'verify', 'big@1.0.0', '--source', file])
  expect([verified.code, verified.err]).toEqual([9, expect.stringContaining('component blob: other files')])
})

test('a file that is changed between its scan and its upload never becomes part of the release (F10)', async () => {
  const { file, blob } = await makeRelease('1.0.0', 9_000_000)
  const options: Omit<PublishOptions, 'file'> & { key: NonNullable<PublishOptions['key']> } = {
    client: createClient({ url: bench.url, token: bench.controller.tokens.publisher, fetch: bench.reach, sleep: async () => void (await confirmReleases(bench.controller.context())) }),
    key: await readKeyFile(bench.keyPath),
  }
  const release = parseReleaseFile(await readFile(file, 'utf8'), file)
  let overwritten = false
  const onProgress: PublishOptions['onProgress'] = (step) => {
    if (step !== 'upload' || overwritten) return
    overwritten = true
    writeFileSync(blob, randomBytes(9_000_000))
  }
  const tampered = publishRelease({ ...options, file: release, onProgress })
  await expect(tampered).rejects.toMatchObject({ exit: 'not-verified', message: expect.stringContaining('changed after it was scanned') })
  expect((await bench.controller.call('getRelease', { params: { release: 'big@1.0.0' } })).body.state).toBe('uploading')
})

test('a dry run shows the manifest and changes nothing', async () => {
  const planned = await bench.murmur(['release', 'publish', sign('1.0.0'), '--dry-run', '-o', 'json'], { as: 'viewer' })
  expect(planned.code).toBe(0)
  const plan = JSON.parse(planned.out) as { manifest: { name: string; components: unknown[] }; objects: unknown[]; reused: number }
  expect([plan.manifest.name, plan.manifest.components.length, plan.reused]).toEqual(['sign', 2, 0])
  expect(plan.objects.length).toBeGreaterThan(0)
  expect((await bench.controller.call('listReleases')).body.items).toEqual([])
})

test('a controller that lies about a release is found out', async () => {
  await publish(sign('1.0.0'))
  await publish(sign('1.1.0'))
  const swapped: typeof fetch = (input, init) => bench.reach(String(input).replace('sign%401.0.0/manifest', 'sign%401.1.0/manifest'), init)
  const ended = await bench.murmur(['release', 'verify', 'sign@1.0.0'], { fetch: swapped })
  expect([ended.code, ended.err]).toEqual([9, expect.stringContaining('is the one of sign@1.1.0')])
  const otherRoot = await bench.murmur(['release', 'verify', 'sign@1.0.0', '--root-fingerprint', 'a'.repeat(64)])
  expect([otherRoot.code, otherRoot.err]).toEqual([9, expect.stringContaining('wrong-root')])
})
