import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { encodeListing } from '../../artifact/encode-listing.ts'
import { FileError, type Clock, type FileFacts, type Files } from '../../edge-agent/host/host.ts'
import { nodeFiles } from '../../edge-agent/host/node-files.ts'
import { createTreeWatch, type InstalledTree } from '../../edge-agent/monitor/watch-trees.ts'
import type { Digest } from '../../protocol/ids.ts'
import type { TreeEntry, TreeListing, TreeRef } from '../../protocol/manifest.ts'
import { machineFiles } from '../support/machine-files.ts'

const digestOf = (bytes: string | Uint8Array): Digest => createHash('sha256').update(bytes).digest('hex') as Digest
const content = { 'bin/run': 'run one', 'etc/app.conf': 'color=blue', 'etc/deep/more.conf': '', version: '1' }

class TestClock implements Clock {
  atMs = 0
  nowMs = (): number => this.atMs
  monotonicMs = (): number => this.atMs
  sleep = (): Promise<void> => Promise.resolve()
}

/** A tree of these entries that was installed at `root`, with one who watches it. */
function watching(entries: TreeEntry[], root: string, { files = nodeFiles, clock = new TestClock(), ignored = [] as string[] } = {}) {
  const { ref, listing } = encodeListing(entries, 'app')
  const trees = createTreeWatch({ files, clock, content: { listing: async ({ digest }: TreeRef) => (digest === ref.digest ? listing : null) } })
  const tree: InstalledTree = { key: 'n1 app', ref, place: async () => root, ignores: (path) => ignored.includes(path) }
  return { trees, tree, clock, look: async (isOver = () => false) => (await trees.look([tree], isOver)).get('n1 app') }
}

const entriesOf = (files: Record<string, string>): TreeEntry[] => Object.entries(files).map(([path, text]) => ({ type: 'file' as const, path, mode: 0o644, size: text.length, sha256: digestOf(text) }))

function installed(more: Parameters<typeof watching>[2] = {}) {
  const root = machineFiles(content)
  for (const path of Object.keys(content)) chmodSync(`${root}/${path}`, 0o644)
  symlinkSync('bin/run', `${root}/start`)
  return { root, ...watching([...entriesOf(content), { type: 'link', path: 'start', target: 'bin/run' }], root, more) }
}

describe('an installed tree', () => {
  test('that is as it was installed is right, and so it is with files beside its own', async () => {
    const { root, look } = installed()
    expect(await look()).toBeNull()
    writeFileSync(`${root}/etc/app.pid`, '17')
    mkdirSync(`${root}/cache`)
    expect(await look()).toBeNull()
  })

  test.each<[string, (root: string) => void, string, (root: string) => void]>([
    ['a file removed', (root) => unlinkSync(`${root}/version`), 'version (not there)', (root) => writeFileSync(`${root}/version`, '1', { mode: 0o644 })],
    ['an empty file removed with its directory', (root) => rmSync(`${root}/etc/deep`, { recursive: true }), 'etc/deep (not there), etc/deep/more.conf (not there)', (root) => { mkdirSync(`${root}/etc/deep`); writeFileSync(`${root}/etc/deep/more.conf`, '') }],
    ['a line more', (root) => writeFileSync(`${root}/etc/app.conf`, 'color=blue\n'), 'etc/app.conf (changed)', (root) => writeFileSync(`${root}/etc/app.conf`, 'color=blue')],
    ['one byte changed', (root) => writeFileSync(`${root}/etc/app.conf`, 'color=glue'), 'etc/app.conf (changed)', (root) => writeFileSync(`${root}/etc/app.conf`, 'color=blue')],
    ['another mode', (root) => chmodSync(`${root}/bin/run`, 0o666), 'bin/run (another mode)', (root) => chmodSync(`${root}/bin/run`, 0o644)],
    ['a file that runs as its owner', (root) => chmodSync(`${root}/bin/run`, 0o4644), 'bin/run (another mode)', (root) => chmodSync(`${root}/bin/run`, 0o644)],
    ['a link elsewhere', (root) => { unlinkSync(`${root}/start`); symlinkSync('version', `${root}/start`) }, 'start (changed)', (root) => { unlinkSync(`${root}/start`); symlinkSync('bin/run', `${root}/start`) }],
    ['a directory that is a link', (root) => { renameSync(`${root}/etc`, `${root}/elsewhere`); symlinkSync('elsewhere', `${root}/etc`) }, 'etc (changed)', (root) => { unlinkSync(`${root}/etc`); renameSync(`${root}/elsewhere`, `${root}/etc`) }],
  ])('with %s is told with its path, until it is put back', async (_, change, words, back) => {
    const { root, look } = installed()
    expect(await look()).toBeNull()
    change(root)
    expect(await look()).toContain(`not as installed: ${words}`)
    expect(await look()).toContain(words)
    back(root)
    expect(await look()).toBeNull()
  })

  test('that is gone is told with its first three paths, and how many there are', async () => {
    const { root, look } = installed()
    rmSync(root, { recursive: true })
    expect(await look()).toBe('8 of its files are not as installed: bin (not there), etc (not there), etc/deep (not there) …')
  })

  test('whose file was changed under its old time is told once that is read again', async () => {
    const { root, look } = installed()
    await look()
    const { atime, mtime } = statSync(`${root}/version`)
    writeFileSync(`${root}/version`, '2')
    utimesSync(`${root}/version`, atime, mtime)
    expect(await look()).toContain('version (changed)')
    writeFileSync(`${root}/version`, '1')
    utimesSync(`${root}/version`, atime, mtime)
    expect(await look()).toBeNull()
  })

  test('may change where that is to be ignored, and only as long', async () => {
    const ignored = ['version']
    const { root, look } = installed({ ignored })
    writeFileSync(`${root}/version`, '2')
    expect(await look()).toBeNull()
    writeFileSync(`${root}/etc/app.conf`, '')
    expect(await look()).toContain('1 of its files is not as installed: etc/app.conf')
    ignored.length = 0
    expect(await look()).toContain('2 of its files')
  })

  test('that was replaced by another is judged anew, and a look that is over says nothing', async () => {
    const { root, tree, trees, look } = installed()
    unlinkSync(`${root}/version`)
    expect(await look(() => true)).toBeUndefined()
    expect(await look()).toContain('version')
    const other = { ...tree, ref: { ...tree.ref, digest: digestOf('another') } }
    expect((await trees.look([other], () => false)).get('n1 app')).toBeUndefined()
  })

  test('with a file that cannot be read is told; one whose place cannot be reached stays as it was known', async () => {
    let broken = ''
    const failing = (path: string): void => {
      if (broken !== '' && path.endsWith(broken)) throw new FileError('EIO', path)
    }
    const files: Files = { ...nodeFiles, readRange: async (path, offset, length) => (failing(path), nodeFiles.readRange(path, offset, length)) }
    const { trees, tree, look } = installed({ files })
    expect(await look()).toBeNull()
    broken = 'bin/run'
    expect(await look()).toContain('bin/run (cannot be read)')
    const lost = { ...tree, place: () => Promise.reject(new FileError('EIO', '/var')) }
    expect((await trees.look([lost], () => false)).get('n1 app')).toContain('bin/run')
    broken = ''
    expect(await look()).toBeNull()
  })
})

/** A disk that holds nothing in memory: files of a size, all zeros, each call of which takes so long. */
function largeDisk(sizes: ReadonlyMap<string, number>, clock: TestClock, callMs = 0) {
  const spent = { facts: 0, bytes: 0, calls: 0, mtimeMs: 1 }
  const call = (): void => {
    spent.calls += 1
    clock.atMs += callMs
  }
  const files = {
    async facts(path: string): Promise<FileFacts | null> {
      call()
      spent.facts += 1
      const size = sizes.get(path)
      return size === undefined ? null : { kind: 'file', size, mode: 0o644, uid: 0, gid: 0, mtimeMs: spent.mtimeMs }
    },
    async readRange(path: string, offset: number, length: number) {
      call()
      const bytes = new Uint8Array(Math.min(length, sizes.get(path)! - offset))
      spent.bytes += bytes.length
      return bytes
    },
  } as unknown as Files
  return { files, spent }
}
const zeros = (path: string, size: number): TreeEntry => ({ type: 'file', path, mode: 0o644, size, sha256: digestOf(new Uint8Array(size)) })

describe('a tree that is huge', () => {
  test('of many files is gone through a part at a time, and a file that is missing is found in three looks', async () => {
    const entries = Array.from({ length: 12_000 }, (_, i) => zeros(`f${String(i).padStart(5, '0')}`, 1))
    const sizes = new Map(entries.map(({ path }) => [`/tree/${path}`, 1]))
    const clock = new TestClock()
    const { files, spent } = largeDisk(sizes, clock)
    const { look } = watching(entries, '/tree', { files, clock })
    for (let looks = 0; (await look()) === undefined; looks++) expect(looks).toBeLessThan(4)
    sizes.delete('/tree/f11999')
    const { facts } = spent
    let looks = 1
    for (; (await look()) === null; looks++) expect(looks).toBeLessThan(3)
    expect(spent.facts - facts).toBeLessThanOrEqual(looks * (5000 + 8192 + 100))
    sizes.set('/tree/f11999', 1)
    expect(await look()).toBeNull()
  })

  test('of one large file is read over several looks, and said to be right only then; later on more slowly', async () => {
    const size = 300 * 1024 * 1024
    const clock = new TestClock()
    const { files, spent } = largeDisk(new Map([['/tree/image', size]]), clock)
    const { look } = watching([zeros('image', size)], '/tree', { files, clock })
    const said: [string | null | undefined, number][] = []
    for (let bytes = 0; said.length < 5; bytes = spent.bytes) said.push([await look(), (spent.bytes - bytes) / 1024 / 1024])
    expect(said.map(([finding]) => finding)).toEqual([undefined, undefined, null, null, null])
    // what is known to be right is read again as well, and slowly
    expect(said.map(([, mebibytes]) => Math.round(mebibytes))).toEqual([128, 128, 44 + 16, 16, 16])
  })

  test('of one large file that was wrong and is written to is not said to be right before it is read to its end', async () => {
    const size = 200 * 1024 * 1024
    const clock = new TestClock()
    const { files, spent } = largeDisk(new Map([['/tree/image', size]]), clock)
    const { look } = watching([{ ...zeros('image', size), sha256: digestOf('another image') } as TreeEntry], '/tree', { files, clock })
    expect([await look(), await look()]).toEqual([undefined, expect.stringContaining('image (changed)')])
    spent.mtimeMs = 2
    expect([await look(), await look()]).toEqual([undefined, expect.stringContaining('image (changed)')])
  })

  test('on a slow disk takes a hundredth of the time, however often it is looked at', async () => {
    const entries = Array.from({ length: 3000 }, (_, i) => zeros(`f${i}`, 1))
    const clock = new TestClock()
    const { files, spent } = largeDisk(new Map(entries.map(({ path }) => [`/tree/${path}`, 1])), clock, 10)
    const { look } = watching(entries, '/tree', { files, clock })
    for (let second = 0; second < 3600; second++) {
      await look()
      clock.atMs = Math.max(clock.atMs, (second + 1) * 1000)
    }
    // at most a look more than a hundredth
    expect(spent.calls * 10).toBeLessThanOrEqual(36_000 + 3100)
    expect(spent.calls).toBeGreaterThan(3000)
  })

  test('keeps no other waiting for long', async () => {
    const clock = new TestClock()
    const many = Array.from({ length: 12_000 }, (_, i) => zeros(`f${String(i).padStart(5, '0')}`, 1))
    const listings = new Map<string, TreeListing>()
    const treeOf = (key: string, entries: TreeEntry[]): InstalledTree => {
      const { ref, listing } = encodeListing(entries, key)
      listings.set(ref.digest, listing)
      return { key, ref, place: async () => `/${key}`, ignores: () => false }
    }
    const trees = [treeOf('huge', many), treeOf('small', [zeros('one', 1)])]
    const { files } = largeDisk(new Map([...many.map(({ path }) => [`/huge/${path}`, 1] as const)]), clock)
    const watch = createTreeWatch({ files, clock, content: { listing: async ({ digest }: TreeRef) => listings.get(digest) ?? null } })
    await watch.look(trees, () => false)
    expect((await watch.look(trees, () => false)).get('small')).toContain('one (not there)')
  })
})
