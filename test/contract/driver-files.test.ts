import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterEach, describe, expect, test } from 'vitest'
import type { Change } from '../../edge-agent/driver/contract.ts'
import { drivers } from '../../edge-agent/driver/drivers.ts'
import { walkTree } from '../../edge-agent/driver/walk-tree.ts'
import type { Files } from '../../edge-agent/host/host.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { Component } from '../../protocol/manifest.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { cutPowerAfter, PowerCut, SimulatedFiles } from '../support/simulated-files.ts'
import { deploy, driverCases, errorOf, type Bench, type ReleaseOf } from './driver.cases.ts'

const digests = { one: '1'.repeat(64), two: '2'.repeat(64) }

async function benchOn(files: Files, directory: string): Promise<Bench> {
  const root = `${directory}/root`
  const release = async (version: 'one' | 'two', target = '/opt/app', name = 'app'): Promise<ReleaseOf> => {
    const path = `${directory}/staged/${version}`
    await files.makeDirectory(`${path}/bin`)
    await files.write(`${path}/version`, utf8(version), 0o644)
    await files.write(`${path}/bin/run`, utf8(`run ${version}`), 0o755)
    if ((await files.facts(`${path}/link`)) === null) await files.symlink('bin/run', `${path}/link`)
    const component = Component.parse({ name, version, config: { driver: 'files', target }, tree: { digest: digests[version], listingBytes: 1, size: 1, files: 3 } })
    return { component, tree: { path, digest: digests[version] } }
  }
  const node = { name: 'n1' as NodeName, personality: 'worker' as const, root, hasAgent: true }
  await files.makeDirectory(root)
  return {
    host: { ...nodeHost, files },
    driver: drivers.files,
    release,
    change: (from, to) => {
      const component = (to ?? from)!.component.name
      return { node, component, from, to, stateDirectory: `${directory}/state/${component}`, signal: new AbortController().signal }
    },
    world: async () => ((await files.facts(`${root}/opt/app`)) === null ? null : fromUtf8(await files.read(`${root}/opt/app/version`))),
  }
}

type FilesBench = Bench & { release(version: 'one' | 'two', target?: string, name?: string): Promise<ReleaseOf> }
const directories: string[] = []
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})
async function realDirectory(): Promise<string> {
  const directory = await mkdtemp(`${tmpdir()}/murmuration-driver-`)
  directories.push(directory)
  return directory
}

/**
 * Everything on the node but the store of trees, whose content is seen through the links into it. Unless `whole`, a link
 * that was about to replace the target is left out: nobody looks at it, and cleanup takes it away.
 */
async function picture(files: Files, root: string, whole = false): Promise<string[]> {
  const lines: string[] = []
  for await (const { path, facts } of walkTree(files, root)) {
    if (path === 'opt' || path === 'var' || path.startsWith('var/') || (!whole && path.endsWith('.murmur-new'))) continue
    const content = facts.kind === 'file' ? fromUtf8(await files.read(`${root}/${path}`)) : facts.kind === 'link' ? await files.readlink(`${root}/${path}`) : ''
    lines.push(`${facts.kind} ${path} ${content}`)
    if (facts.kind !== 'link') continue
    for await (const inner of walkTree(files, `${root}/${path}`)) {
      const text = inner.facts.kind === 'file' ? fromUtf8(await files.read(`${root}/${path}/${inner.path}`)) : ''
      lines.push(`  ${inner.facts.kind} ${inner.path} ${inner.facts.mode.toString(8)} ${text}`)
    }
  }
  return lines
}

describe('the files driver on the disk of this machine', () => {
  driverCases(async () => benchOn(nodeHost.files, await realDirectory()))

  test('the link means the same inside the root as outside, also behind links of the node', async () => {
    const directory = await realDirectory()
    const bench = await benchOn(nodeHost.files, directory)
    const { files } = bench.host
    await files.makeDirectory(`${directory}/root/data/deep`)
    await files.symlink('/data/deep', `${directory}/root/opt`)
    await deploy(bench, bench.change(null, await bench.release('one')))
    const link = await files.readlink(`${directory}/root/data/deep/app`)
    expect(link).toBe(`../../var/lib/murmur/trees/app/${digests.one}`)
    expect(fromUtf8(await files.read(`${directory}/root/data/deep/app/version`))).toBe('one')
  })

  test('the staged tree and the tree on the node share no bytes that a program could change (F10)', async () => {
    const directory = await realDirectory()
    const bench = await benchOn(nodeHost.files, directory)
    const one = await bench.release('one')
    await deploy(bench, bench.change(null, one))
    await bench.host.files.append(`${directory}/root/opt/app/version`, utf8('!'))
    expect(fromUtf8(await bench.host.files.read(`${one.tree.path}/version`))).toBe('one')
    expect((await bench.host.files.facts(`${directory}/root/opt/app/bin/run`))?.mode).toBe(0o755)
  })
})

describe('the files driver on the simulated disk', () => {
  const fresh = async (): Promise<{ files: SimulatedFiles; bench: FilesBench }> => {
    const files = new SimulatedFiles()
    return { files, bench: (await benchOn(files, '/site')) as FilesBench }
  }
  driverCases(async () => (await fresh()).bench)

  test('what was there before is put back exactly by rollback, and stays aside after commit', async () => {
    const { files, bench } = await fresh()
    await files.makeDirectory('/site/root/opt/app/data')
    await files.write('/site/root/opt/app/data/own', utf8('mine'))
    const before = await picture(files, '/site/root')
    const change = bench.change(null, await bench.release('one'))
    for (const verb of ['stage', 'apply', 'verify', 'rollback'] as const) await bench.driver[verb](bench.host, change)
    expect(await picture(files, '/site/root')).toEqual(before)
    await deploy(bench, change)
    expect(await bench.world()).toBe('one')
    expect(fromUtf8(await files.read('/site/root/opt/app.before-murmur/data/own'))).toBe('mine')
    await deploy(bench, bench.change(await bench.release('one'), null))
    await files.write('/site/root/opt/app', utf8('in the way'))
    expect((await errorOf(bench.driver.stage(bench.host, change))).code).toBe('target-occupied')
    expect(fromUtf8(await files.read('/site/root/opt/app'))).toBe('in the way')
  })

  test('a target that moves is in between until both ends are done, even with the same tree', async () => {
    const { files, bench } = await fresh()
    const [old, moved] = [await bench.release('one'), await bench.release('one', '/srv/app')]
    await deploy(bench, bench.change(null, old))
    const change = bench.change(old, moved)
    expect((await errorOf(bench.driver.verify(bench.host, change))).code).toBe('not-in-effect')
    await bench.driver.apply(bench.host, change)
    await bench.driver.verify(bench.host, change)
    expect([await files.facts('/site/root/opt/app'), (await files.facts('/site/root/srv/app'))?.kind]).toEqual([null, 'link'])
    await bench.driver.rollback(bench.host, change)
    expect([(await files.facts('/site/root/opt/app'))?.kind, await files.facts('/site/root/srv/app')]).toEqual(['link', null])
  })

  test('a component that takes over the target of another is not disturbed when that one is dropped', async () => {
    const { bench } = await fresh()
    const old = await bench.release('one', '/opt/app', 'old')
    const successor = await bench.release('two', '/opt/app', 'new')
    await deploy(bench, bench.change(null, old))
    const [taking, dropping] = [bench.change(null, successor), bench.change(old, null)]
    for (const change of [taking, dropping]) for (const verb of ['stage', 'apply', 'verify'] as const) await bench.driver[verb](bench.host, change)
    expect(await bench.world()).toBe('two')
    for (const change of [dropping, taking]) await bench.driver.rollback(bench.host, change)
    expect(await bench.world()).toBe('one')
  })

  test('two components with one digest do not take each other\'s tree away', async () => {
    const { files, bench } = await fresh()
    const [app, twin, two] = [await bench.release('one'), await bench.release('one', '/opt/twin', 'twin'), await bench.release('two')]
    await deploy(bench, bench.change(null, app))
    await deploy(bench, bench.change(null, twin))
    await deploy(bench, bench.change(app, two))
    expect(fromUtf8(await files.read('/site/root/opt/twin/version'))).toBe('one')
    expect(await files.list('/site/root/var/lib/murmur/trees/app')).toEqual([digests.two])
  })

  test('a full disk fails while staging, and the old release runs on (F23)', async () => {
    const { files, bench } = await fresh()
    const [one, two] = [await bench.release('one'), await bench.release('two')]
    await deploy(bench, bench.change(null, one))
    files.capacityBytes = 0
    await expect(bench.driver.stage(bench.host, bench.change(one, two))).rejects.toMatchObject({ name: 'DriverError', code: 'disk-enospc' })
    expect(await bench.world()).toBe('one')
    files.readOnly = true
    await expect(bench.driver.apply(bench.host, bench.change(one, two))).rejects.toMatchObject({ code: 'disk-erofs' })
    expect(await bench.world()).toBe('one')
    files.readOnly = false
    files.capacityBytes = Number.POSITIVE_INFINITY
    await deploy(bench, bench.change(one, two))
    expect(await bench.world()).toBe('two')
  })
})

type Scene = { name: string; foreign: boolean; from: 'one' | null; to: 'two' | null; target?: string }
const scenes: Scene[] = [
  { name: 'an update', foreign: false, from: 'one', to: 'two' },
  { name: 'a new component', foreign: false, from: null, to: 'two' },
  { name: 'a new component where something foreign is', foreign: true, from: null, to: 'two' },
  { name: 'a dropped component', foreign: false, from: 'one', to: null },
]
/** What is done before the power is cut, in which verb it goes, and what ends it well. */
const cuts = [
  { prepared: [], verb: 'stage', recovery: ['stage', 'apply', 'verify'], ends: 'new' },
  { prepared: ['stage'], verb: 'apply', recovery: ['apply', 'verify'], ends: 'new' },
  { prepared: ['stage'], verb: 'apply', recovery: ['rollback'], ends: 'old' },
  { prepared: ['stage', 'apply', 'verify'], verb: 'commit', recovery: ['commit', 'cleanup', 'verify'], ends: 'new' },
  { prepared: ['stage', 'apply'], verb: 'rollback', recovery: ['rollback'], ends: 'old' },
  { prepared: ['stage', 'apply', 'rollback'], verb: 'cleanup', recovery: ['stage', 'apply', 'verify'], ends: 'new' },
  { prepared: ['stage', 'apply', 'commit'], verb: 'cleanup', recovery: ['cleanup', 'verify'], ends: 'new' },
] as const
const seedsPerCut = 4

describe.each(scenes)('power cuts during $name (F21, I1)', (scene) => {
  const root = '/site/root'
  const prepare = async (prepared: readonly (typeof cuts)[number]['verb' | 'prepared'][number][]): Promise<{ files: SimulatedFiles; bench: Bench; change: Change }> => {
    const files = new SimulatedFiles()
    const bench = await benchOn(files, '/site')
    await files.makeDirectory(`${root}/opt`)
    const [one, two] = [await bench.release('one'), await bench.release('two')]
    if (scene.from !== null) await deploy(bench, bench.change(null, one))
    if (scene.foreign) {
      await files.makeDirectory(`${root}/opt/app`)
      await files.write(`${root}/opt/app/own`, utf8('mine'))
    }
    files.settleAll()
    const change = bench.change(scene.from === null ? null : one, scene.to === null ? null : two)
    for (const verb of prepared) await bench.driver[verb as 'apply'](bench.host, change)
    return { files, bench, change }
  }

  test.each(cuts)('$prepared, the power goes in $verb, then $recovery: $ends', async ({ prepared, verb, recovery, ends }) => {
    const old = await picture((await prepare([])).files, root)
    const reached = await prepare(['stage', 'apply'])
    const pictures = { old, new: await picture(reached.files, root) }
    expect(pictures.new).not.toEqual(pictures.old)
    let cutsMade = 0
    for (let calls = 0, cut = true; cut; calls++) {
      for (let seed = 0; seed < seedsPerCut; seed++) {
        const { files, bench, change } = await prepare(prepared)
        files.beforeCall = cutPowerAfter(calls)
        cut = await bench.driver[verb](bench.host, change).then(() => false, (error: unknown) => {
          if (error instanceof PowerCut) return true
          throw error
        })
        files.beforeCall = null
        files.crash(seededFractions(calls * seedsPerCut + seed))
        const found = await picture(files, root)
        const where = `call ${calls}, seed ${seed}`
        if (!scene.foreign) expect([pictures.old, pictures.new].map(String), where).toContain(String(found))
        for (const step of recovery) await bench.driver[step](bench.host, change)
        expect(await picture(files, root), where).toEqual(pictures[ends])
        files.crash(seededFractions(seed))
        expect(await picture(files, root), `${where}, and a second crash`).toEqual(pictures[ends])
        for (const step of ends === 'new' ? (['commit', 'cleanup'] as const) : (['cleanup'] as const)) await bench.driver[step](bench.host, change)
        expect(await picture(files, root, true), `${where}, after cleanup`).toEqual(pictures[ends])
        const side = ends === 'new' ? change.to : change.from
        const store = `${root}/var/lib/murmur/trees/app`
        expect((await files.facts(store)) === null ? [] : await files.list(store), `${where}, trees`).toEqual(side === null ? [] : [side.tree.digest])
        if (cut) cutsMade++
      }
    }
    expect(cutsMade).toBeGreaterThan(0)
  })
})
