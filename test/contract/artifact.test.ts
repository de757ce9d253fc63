import { chmod, link, lstat, mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { constants, createZstdCompress, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { ArtifactError } from '../../artifact/artifact-error.ts'
import { contentsOf, emptyDigest } from '../../protocol/delivery.ts'
import { encodeListing } from '../../artifact/encode-listing.ts'
import { materialiseTree } from '../../artifact/materialise-tree.ts'
import { openListing } from '../../artifact/open-listing.ts'
import { planFetch, type FetchPart } from '../../artifact/plan-fetch.ts'
import { scanTree } from '../../artifact/scan-tree.ts'
import { storeObjects } from '../../artifact/store-objects.ts'
import { unpackFetch } from '../../artifact/unpack-fetch.ts'
import { unpack } from '../../artifact/unpack.ts'
import { verifyTree } from '../../artifact/verify-tree.ts'
import { nodeFiles } from '../../edge-agent/host/node-files.ts'
import { canonicalJson, utf8 } from '../../protocol/bytes.ts'
import { packBytesTarget, packedBytesMax, TreeListing, type DeliveryIndex, type TreeEntry } from '../../protocol/manifest.ts'
import { needs } from '../support/needs.ts'
import { collect, noise, piecesOf, receiveTree, sha256, withDirectory, writeTree } from './artifact.support.ts'

const asRoot = needs('root')
const reasonOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'no error', (error: unknown) => (error instanceof ArtifactError ? error.reason : error))
const file = (path: string, content: string, mode = 0o644): TreeEntry => ({ type: 'file', path, mode, size: content.length, sha256: sha256(content) })

async function writeOddTree(root: string): Promise<string> {
  await writeTree(root, {
    'bin/run': '#!/bin/sh\nexit 0\n', 'empty': '', 'also/empty': '', 'Ünïcode/naïve-日本.txt': 'content', 'secret': 'hush', 'a.b': 'dot sorts before slash',
    'a/b': 'slash', 'twin/one': 'the same bytes', 'twin/two': 'the same bytes', 'big.bin': noise(20 * 1024 * 1024), 'zeros.bin': new Uint8Array(3_000_000),
  })
  await chmod(join(root, 'bin/run'), 0o755)
  await chmod(join(root, 'secret'), 0o400)
  await chmod(join(root, 'twin/two'), 0o700)
  await symlink('../bin/run', join(root, 'a/link'))
  await symlink('nowhere/yet', join(root, 'dangling'))
  for (let i = 0; i < 300; i++) await writeTree(root, { [`many/${i}.conf`]: `setting=${i}\n`.repeat(1 + (i % 50)) })
  return root
}

describe('a tree’s way from directory to directory', () => {
  test.each(['copy', 'link'] as const)('arrives with its bytes, modes and links (%s)', (placement) => withDirectory(async (top) => {
    const source = await writeOddTree(join(top, 'source'))
    const tree = await scanTree(source)
    const { index, objects } = await storeObjects([{ listing: tree.listing, directory: source }], { scratch: join(top, 'scratch') })
    const listing = await receiveTree(tree.ref, index, objects, join(top, 'store'))
    const target = join(top, 'target')
    await materialiseTree(nodeFiles, { listing, target, contentPath: (digest) => join(top, 'store', digest), placement })
    expect(await verifyTree(nodeFiles, listing, target)).toEqual({ ok: true, value: null })
    expect((await scanTree(target)).ref).toEqual(tree.ref)
    expect((await lstat(join(target, 'twin/two'))).mode & 0o7777).toBe(0o700)
    expect((await lstat(join(target, 'many'))).mode & 0o7777).toBe(0o755)
    const shared = (await stat(join(target, 'many/7.conf'))).nlink > 1
    expect(shared).toBe(placement === 'link')
  }))

  test('gives the same objects for the same trees, each named by the hash of its stored bytes', () => withDirectory(async (top) => {
    const source = await writeOddTree(join(top, 'source'))
    const tree = await scanTree(source)
    const first = await storeObjects([{ listing: tree.listing, directory: source }], { scratch: join(top, 'one') })
    const second = await storeObjects([{ listing: tree.listing, directory: source }], { scratch: join(top, 'two') })
    expect(canonicalJson(second.index)).toBe(canonicalJson(first.index))
    for (const object of first.objects) {
      const bytes = await readFile(object.path)
      expect([sha256(bytes), bytes.length]).toEqual([object.digest, object.size])
    }
    expect(await readdir(join(top, 'one'))).not.toContain('partial')
  }))

  test('stores equal contents once, and nothing that an earlier release has placed', () => withDirectory(async (top) => {
    const big = noise(300_000)
    const one = await writeTree(join(top, 'one'), { 'x': 'same', 'big': big })
    const two = await writeTree(join(top, 'two'), { 'y': 'same', 'z': 'new', 'big': big })
    const [a, b] = [await scanTree(one), await scanTree(two)]
    const both = await storeObjects([{ listing: a.listing, directory: one }, { listing: b.listing, directory: two }], { scratch: join(top, 's') })
    expect(both.objects.filter((object) => object.size === big.length)).toHaveLength(1)
    const first = await storeObjects([{ listing: a.listing, directory: one }], { scratch: join(top, 's1') })
    const next = await storeObjects([{ listing: b.listing, directory: two }], { scratch: join(top, 's2'), reuse: [first.index] })
    // the listing, which is an object of its own, and a pack with what is new
    expect(next.objects.map((object) => object.digest)).toEqual([b.ref.digest, expect.any(String)])
    expect(next.index.content[b.ref.digest]).toEqual({ object: b.ref.digest, storedBytes: b.ref.listingBytes, codec: 'none' })
    expect(next.index.content[sha256('same')]).toEqual(first.index.content[sha256('same')])
    const listing = await receiveTree(b.ref, next.index, [...first.objects, ...next.objects], join(top, 'store'))
    expect(listing).toEqual(b.listing)
  }))

  test('does not take over a location that an earlier index has wrong', () => withDirectory(async (top) => {
    const source = await writeTree(join(top, 'source'), { x: 'content' })
    const { listing } = await scanTree(source)
    const wrong: DeliveryIndex = { v: 1, content: { [sha256('content')]: { object: sha256('gone'), storedBytes: 3, codec: 'zstd' } }, objects: {}, patches: [] }
    const { index } = await storeObjects([{ listing, directory: source }], { scratch: join(top, 's'), reuse: [wrong] })
    expect(index.content[sha256('content')]).toHaveProperty('pack')
  }))

  test('closes packs at their target length', () => withDirectory(async (top) => {
    const files = Object.fromEntries(Array.from({ length: 160 }, (_, i) => [`f${i}`, noise(packedBytesMax - 64, i + 1)]))
    const source = await writeTree(join(top, 'source'), files)
    const { listing, ref } = await scanTree(source)
    const { objects } = await storeObjects([{ listing, directory: source }], { scratch: join(top, 's') })
    const packs = objects.filter((object) => object.digest !== ref.digest)
    expect(packs).toHaveLength(2)
    expect(packs[0]!.size).toBeGreaterThanOrEqual(packBytesTarget)
    expect(packs[0]!.size).toBeLessThan(packBytesTarget + packedBytesMax)
  }))

  test.each(['short', 'x'.repeat(300_000)])('F10: notices a file that changes after it was scanned', (content) => withDirectory(async (top) => {
    const source = await writeTree(join(top, 'source'), { x: content })
    const { listing } = await scanTree(source)
    await writeFile(join(source, 'x'), content.replace('x', 'y').replace('s', 'S'))
    expect(await reasonOf(storeObjects([{ listing, directory: source }], { scratch: join(top, 's') }))).toBe('changed-meanwhile')
  }))
})

describe('scanning a directory', () => {
  const cases: [string, (root: string) => Promise<unknown>, string][] = [
    ['a link out of the tree', (root) => symlink('../outside', join(root, 'bad')), 'invalid-tree'],
    ['an absolute link', (root) => symlink('/etc/passwd', join(root, 'bad')), 'invalid-tree'],
    ['a link that climbs behind another link', (root) => symlink('sub/../../..', join(root, 'bad')), 'invalid-tree'],
    ['a setuid file', (root) => writeFile(join(root, 'bad'), '').then(() => chmod(join(root, 'bad'), 0o4755)), 'unsupported-entry'],
    ['an empty directory', (root) => mkdir(join(root, 'bad')), 'unsupported-entry'],
    ['a name in another normal form', (root) => writeFile(join(root, 'bad-e\u0301'), ''), 'invalid-tree'],
    ['a name with a backslash', (root) => writeFile(join(root, 'bad\\name'), ''), 'invalid-tree'],
    ['a name that is not UTF-8', (root) => writeFile(Buffer.concat([Buffer.from(`${root}/bad`), Buffer.from([0xff])]), ''), 'unsupported-entry'],
    ['names that differ only in case', (root) => writeTree(root, { Bad: '', bad: '' }), 'invalid-tree'],
  ]
  test.each(cases)('F16: refuses %s and names it', (_name, make, reason) => withDirectory(async (root) => {
    await make(root)
    const error: unknown = await scanTree(root).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(ArtifactError)
    expect(error).toMatchObject({ reason, message: expect.stringContaining('bad') })
  }))

  test('F16: refuses a socket and names it', () => withDirectory(async (root) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(root, 'bad.sock'), resolve))
    try {
      await expect(scanTree(root)).rejects.toThrow(/bad\.sock: only files/)
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  }))

  test('gives owners where the caller names them, and refuses owners of what is not there', () => withDirectory(async (root) => {
    await writeTree(root, { 'etc/key': 'k', 'etc/other': 'o' })
    const { listing } = await scanTree(root, { owners: new Map([['etc/key', { uid: 7, gid: 8 }]]) })
    expect(listing.entries.map((entry) => 'owner' in entry && entry.owner)).toEqual([{ uid: 7, gid: 8 }, false])
    await expect(scanTree(root, { owners: new Map([['etc/none', { uid: 7, gid: 8 }]]) })).rejects.toThrow(/etc\/none/)
  }))
})

describe('a listing from elsewhere', () => {
  const encode = (value: unknown) => utf8(typeof value === 'string' ? value : canonicalJson(value))
  const refFor = (bytes: Uint8Array, size = 0, files = 0) => ({ digest: sha256(bytes), listingBytes: bytes.length, size, files })
  const refusalOf = (bytes: Uint8Array, ref = refFor(bytes)) => {
    const opened = openListing(bytes, ref)
    return opened.ok ? 'accepted' : opened.refusal.reason
  }

  test('F1: is believed only with the signed digest, length and totals', () => {
    const { bytes, ref } = encodeListing([file('a', 'x')], 'tree')
    expect(openListing(bytes, ref).ok).toBe(true)
    expect(refusalOf(bytes, { ...ref, digest: sha256('other') })).toBe('digest-mismatch')
    expect(refusalOf(bytes.subarray(1), ref)).toBe('wrong-length')
    expect(refusalOf(bytes, { ...ref, size: 2 })).toBe('wrong-totals')
    expect(refusalOf(bytes, { ...ref, files: 2 })).toBe('wrong-totals')
  })

  const link = (path: string, target: string): TreeEntry => ({ type: 'link', path, target })
  const hostile: [string, unknown][] = [
    ['a path that climbs', { v: 1, entries: [file('../a', '')] }],
    ['an absolute path', { v: 1, entries: [file('/a', '')] }],
    ['a setuid mode', { v: 1, entries: [file('a', '', 0o4755)] }],
    ['a duplicate name', { v: 1, entries: [file('a', ''), file('a', '')] }],
    ['names that differ only in case', { v: 1, entries: [file('A', ''), file('a', '')] }],
    ['writing through a link', { v: 1, entries: [link('a', 'b'), file('a/x', '')] }],
    ['writing through a link of other case', { v: 1, entries: [link('A', 'b'), file('a/x', '')] }],
    ['a link out of the tree', { v: 1, entries: [link('a/b', '../..')] }],
    ['a link that climbs behind another link', { v: 1, entries: [link('a/b/s', '../..'), link('a/b/t', 's/../..')] }],
    ['a device', { v: 1, entries: [{ type: 'device', path: 'a', mode: 0o600 }] }],
    ['an unknown key', { v: 1, entries: [], extra: true }],
    ['an empty file with another digest', { v: 1, entries: [{ ...file('a', ''), sha256: sha256('x') }] }],
    ['a file of a size with the digest of nothing', { v: 1, entries: [{ ...file('a', 'x'), sha256: emptyDigest }] }],
    ['white space (F19)', '{"entries":[], "v":1}'],
    ['a key twice (F19)', '{"entries":[],"v":2,"v":1}'],
    ['no JSON', '{'],
  ]
  test.each(hostile)('F16: is refused with %s', (_name, value) => {
    expect(refusalOf(encode(value), refFor(encode(value), 1, 1))).toBe('malformed')
  })

  test('links up to the root of the tree and to each other are lawful', () => {
    expect(TreeListing.safeParse({ v: 1, entries: [link('a/b/s', '../..'), link('a/b/t', 's/a'), link('c', './a//b/')] }).success).toBe(true)
  })
})

describe('planning what to fetch', () => {
  const content = (name: string, size: number) => ({ digest: sha256(name), size })
  const part = (offset: number, storedBytes: number) => ({ pack: sha256('pack'), offset, storedBytes, codec: 'none' as const })
  const indexOf = (content: DeliveryIndex['content'], objects: DeliveryIndex['objects'] = { [sha256('pack')]: 100_000 }): DeliveryIndex => ({ v: 1, content, objects, patches: [] })
  const index = indexOf({ [sha256('a')]: part(0, 10), [sha256('b')]: part(10, 20), [sha256('c')]: part(30, 5), [sha256('far')]: part(90_000, 7) })
  const wanted = [content('far', 7), content('c', 5), content('a', 10), content('b', 20)]

  test('merges neighbouring ranges of a pack and leaves out what is held, empty or asked for twice', () => {
    const plan = planFetch([...wanted, content('c', 5), { digest: emptyDigest, size: 0 }], (digest) => digest === sha256('a'), index)
    expect(plan).toMatchObject({
      ok: true,
      value: { storedBytes: 32, fetches: [{ offset: 10, length: 25, objectBytes: 100_000, parts: [{ digest: sha256('b') }, { digest: sha256('c') }] }, { offset: 90_000, length: 7 }] },
    })
  })

  test('bridges a small gap, and the reader skips it', async () => {
    const plan = planFetch([content('aaaaaaaaaa', 10), content('ccccc', 5)], () => false, indexOf({ [sha256('aaaaaaaaaa')]: part(0, 10), [sha256('ccccc')]: part(30, 5) }))
    if (!plan.ok) throw new Error('refused')
    expect(plan.value.fetches).toHaveLength(1)
    const texts: string[] = []
    for await (const { content } of unpackFetch(piecesOf(utf8(`aaaaaaaaaa${'b'.repeat(20)}ccccc`), 7), plan.value.fetches[0]!)) texts.push(Buffer.from(await collect(content)).toString())
    expect(texts).toEqual(['aaaaaaaaaa', 'ccccc'])
  })

  const x = content('x', 50)
  const wrong: [string, Parameters<typeof planFetch>[0], DeliveryIndex, string][] = [
    ['lacks a content', [x], index, 'not-in-index'],
    ['does not list the object', [x], indexOf({ [x.digest]: { object: sha256('o'), storedBytes: 9, codec: 'zstd' } }), 'bad-location'],
    ['contradicts itself on a length', [x], indexOf({ [x.digest]: { object: sha256('o'), storedBytes: 9, codec: 'zstd' } }, { [sha256('o')]: 10 }), 'bad-location'],
    ['points behind the end of a pack', [x], indexOf({ [x.digest]: part(99_990, 50) }), 'bad-location'],
    ['makes a content longer than it is (F7)', [x], indexOf({ [x.digest]: { object: sha256('o'), storedBytes: 51, codec: 'zstd' } }, { [sha256('o')]: 51 }), 'bad-location'],
    ['says plain with another length', [x], indexOf({ [x.digest]: part(0, 49) }), 'bad-location'],
    ['says that something takes no bytes', [x], indexOf({ [x.digest]: { ...part(0, 0), codec: 'zstd' } }), 'bad-location'],
    ['lets two contents overlap', [content('a', 10), content('b', 20)], indexOf({ [sha256('a')]: part(0, 10), [sha256('b')]: part(5, 20) }), 'bad-location'],
    ['has a part too long for a pack', [content('l', 90_000)], indexOf({ [sha256('l')]: part(0, 90_000) }), 'bad-location'],
    ['is asked for one digest in two sizes', [content('a', 10), content('a', 11)], index, 'conflicting-sizes'],
  ]
  test.each(wrong)('refuses an index that %s', (_name, contents, badIndex, reason) => {
    const plan = planFetch(contents, () => false, badIndex)
    expect(plan.ok ? 'planned' : plan.refusal.reason).toBe(reason)
  })
})

describe('unpacking received bytes', () => {
  const partFor = (content: Uint8Array, stored: Uint8Array, codec: 'zstd' | 'none' = 'zstd'): FetchPart => ({ digest: sha256(content), size: content.length, offset: 0, storedBytes: stored.length, codec })
  for (const [kind, content] of [['short', noise(5_000)], ['long', noise(700_000)]] as const) {
    const stored = zstdCompressSync(content)
    test(`gives back a ${kind} content, whatever the pieces it comes in`, async () => {
      for (const pieceBytes of [1_000, 65_536, 1_000_000]) expect(sha256(await collect(unpack(piecesOf(stored, pieceBytes), partFor(content, stored))))).toBe(sha256(content))
      expect(sha256(await collect(unpack(piecesOf(content), partFor(content, content, 'none'))))).toBe(sha256(content))
    })

    test(`tells apart what can be wrong with a ${kind} content (F1, F7)`, async () => {
      const good = partFor(content, stored)
      const tell = (bytes: Uint8Array, part: FetchPart) => reasonOf(collect(unpack(piecesOf(bytes), part)))
      expect(await tell(stored, { ...good, digest: sha256('another') })).toBe('digest-mismatch')
      expect(await tell(stored, { ...good, size: content.length - 1 })).toBe('too-long')
      expect(await tell(stored, { ...good, size: content.length + 1 })).toBe('corrupt')
      expect(await tell(stored.subarray(0, -10), good)).toBe('corrupt')
      expect(await tell(stored.subarray(0, -10), { ...good, storedBytes: stored.length - 10 })).toBe('corrupt')
      expect(await tell(Buffer.concat([stored, new Uint8Array(10)]), good)).toBe('too-long')
      expect(await tell(noise(stored.length), good)).toBe('corrupt')
      const flipped = Uint8Array.from(content, (byte, i) => (i === 100 ? byte ^ 1 : byte))
      expect(await tell(flipped, partFor(content, content, 'none'))).toBe('digest-mismatch')
    })
  }

  test('F17: stops a bomb at the declared size, in bounded memory', async () => {
    const megabyte = new Uint8Array(1024 * 1024)
    const bomb = await collect(Readable.from(Array.from({ length: 256 }, () => megabyte)).pipe(createZstdCompress()))
    for (const size of [1_000, 1_000_000]) {
      let received = 0
      const before = process.memoryUsage().rss
      const reading = (async () => {
        for await (const chunk of unpack(piecesOf(bomb, bomb.length), { ...partFor(bomb, bomb), size })) received += chunk.length
      })()
      expect(await reasonOf(reading)).toBe('too-long')
      expect(received).toBeLessThanOrEqual(size)
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
    }
  })

  test('F17: refuses a frame that wants a huge window', async () => {
    const content = noise(20_000_000)
    const stored = zstdCompressSync(content, { params: { [constants.ZSTD_c_windowLog]: 27 } })
    expect(await reasonOf(collect(unpack(piecesOf(stored), partFor(content, stored))))).toBe('corrupt')
  })

  test('passes on the error of a connection that breaks', async () => {
    const content = noise(700_000)
    const stored = zstdCompressSync(content)
    const broken = async function* () {
      yield stored.subarray(0, 100_000)
      throw new Error('connection reset')
    }
    await expect(collect(unpack(broken(), partFor(content, stored)))).rejects.toThrow('connection reset')
  })

  test('one bad part of a pack does not hinder the others, a truncated body only those after the cut', async () => {
    const texts = ['first', 'second', 'third']
    const bytes = utf8(texts.join(''))
    let offset = 0
    const parts = texts.map((text) => ({ ...partFor(utf8(text), utf8(text), 'none'), offset: (offset += text.length) - text.length }))
    const fetch = { object: sha256(bytes), objectBytes: bytes.length, offset: 0, length: bytes.length, parts }
    const outcomes = async (body: Uint8Array): Promise<unknown[]> => {
      const all: unknown[] = []
      for await (const { content } of unpackFetch(piecesOf(body, 4), fetch)) all.push(await reasonOf(collect(content)))
      return all
    }
    expect(await outcomes(utf8('firstSecondthird'))).toEqual(['no error', 'digest-mismatch', 'no error'])
    expect(await outcomes(utf8('firstsec'))).toEqual(['no error', 'corrupt', 'corrupt'])
  })
})

describe('a tree on the disk', () => {
  const prepare = async (top: string) => {
    const source = await writeTree(join(top, 'tree'), { 'a/one': '1', 'a/two': '2', 'three': '3' })
    await symlink('a/one', join(source, 'link'))
    const { listing } = await scanTree(source)
    const contents = join(top, 'contents')
    await writeTree(contents, Object.fromEntries(['1', '2', '3'].map((text) => [sha256(text), text])))
    return { source, listing, contentPath: (digest: string) => join(contents, digest) }
  }
  const damages: [string, (root: string) => Promise<unknown>, string, string][] = [
    ['an extra file', (root) => writeFile(join(root, 'a/zzz'), ''), 'extra', 'a/zzz'],
    ['an extra empty directory', (root) => mkdir(join(root, 'more')), 'extra', 'more'],
    ['a missing file', (root) => rm(join(root, 'a/two')), 'missing', 'a/two'],
    ['a missing directory', (root) => rm(join(root, 'a'), { recursive: true }), 'missing', 'a'],
    ['a changed byte', (root) => writeFile(join(root, 'three'), '4'), 'changed', 'three'],
    ['another mode', (root) => chmod(join(root, 'a/one'), 0o755), 'mode', 'a/one'],
    ['a link to elsewhere', (root) => rm(join(root, 'link')).then(() => symlink('three', join(root, 'link'))), 'changed', 'link'],
    ['a link in a file’s place', (root) => rm(join(root, 'three')).then(() => symlink('a/one', join(root, 'three'))), 'changed', 'three'],
    ['a link in a directory’s place', (root) => rename(join(root, 'a'), `${root}-a`).then(() => symlink(`${root}-a`, join(root, 'a'))), 'changed', 'a'],
  ]
  test.each(damages)('F9: %s is found and named', (_name, damage, reason, path) => withDirectory(async (top) => {
    const { source, listing } = await prepare(top)
    await damage(source)
    expect(await verifyTree(nodeFiles, listing, source)).toMatchObject({ ok: false, refusal: { reason, path } })
  }))

  test('F9: is only built where nothing is', () => withDirectory(async (top) => {
    const { source, listing, contentPath } = await prepare(top)
    expect(await reasonOf(materialiseTree(nodeFiles, { listing, target: source, contentPath, placement: 'copy' }))).toBe('not-fresh')
  }))

  test('F10: a content file that is no longer what its name says is not copied into it', () => withDirectory(async (top) => {
    const { listing, contentPath } = await prepare(top)
    await writeFile(contentPath(sha256('3')), '4')
    expect(await reasonOf(materialiseTree(nodeFiles, { listing, target: join(top, 'new'), contentPath, placement: 'copy' }))).toBe('digest-mismatch')
  }))

  test('linking shares a content only where mode and owner are already right', () => withDirectory(async (top) => {
    const { listing, contentPath } = await prepare(top)
    const entries = listing.entries.map((entry) => (entry.path === 'three' ? { ...entry, mode: 0o600 } : entry))
    const target = join(top, 'new')
    await materialiseTree(nodeFiles, { listing: { v: 1, entries }, target, contentPath, placement: 'link' })
    expect((await stat(join(target, 'a/one'))).nlink).toBe(2)
    expect([(await stat(join(target, 'three'))).nlink, (await stat(contentPath(sha256('3')))).mode & 0o777]).toEqual([1, 0o644])
  }))

  asRoot.test('gets the owners of the listing, and a wrong one is found', () => withDirectory(async (top) => {
    const { source, contentPath } = await prepare(top)
    const { listing } = await scanTree(source, { owners: new Map([['three', { uid: 1234, gid: 4321 }]]) })
    const target = join(top, 'new')
    await materialiseTree(nodeFiles, { listing, target, contentPath, placement: 'link' })
    expect(await stat(join(target, 'three'))).toMatchObject({ uid: 1234, gid: 4321 })
    expect(await verifyTree(nodeFiles, listing, source)).toMatchObject({ ok: false, refusal: { reason: 'owner', path: 'three' } })
  }))

  test('hard links in the source are files like any other', () => withDirectory(async (top) => {
    const source = await writeTree(join(top, 'tree'), { one: '1' })
    await link(join(source, 'one'), join(source, 'two'))
    expect(contentsOf((await scanTree(source)).listing)).toHaveLength(1)
  }))
})
