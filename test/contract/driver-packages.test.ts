import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import type { Change } from '../../edge-agent/driver/contract.ts'
import { drivers } from '../../edge-agent/driver/drivers.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { Component } from '../../protocol/manifest.ts'
import { needs } from '../support/needs.ts'
import { deploy, driverCases, errorOf, type Bench, type ReleaseOf } from './driver.cases.ts'

// dpkg needs root to install into another root
const { describe } = needs('dpkg', 'root')

const run = promisify(execFile)
const directories: string[] = []
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})

type Deb = { name: string; version: string; text: string; depends?: string; conffile?: string; postinst?: string }
type PackagesBench = Bench & { directory: string; root: string; abort: AbortController; built(tree: string, debs: Deb[]): Promise<ReleaseOf> }

async function buildDeb(directory: string, deb: Deb, file: string): Promise<void> {
  const tree = await mkdtemp(`${directory}/deb-`)
  await mkdir(`${tree}/DEBIAN`)
  await mkdir(`${tree}/usr/share/${deb.name}`, { recursive: true })
  await writeFile(`${tree}/usr/share/${deb.name}/version`, deb.text)
  const lines = [`Package: ${deb.name}`, `Version: ${deb.version}`, 'Architecture: all', 'Maintainer: Nobody <nobody@example.org>', 'Description: a test']
  if (deb.depends !== undefined) lines.push(`Depends: ${deb.depends}`)
  await writeFile(`${tree}/DEBIAN/control`, `${lines.join('\n')}\n`)
  if (deb.conffile !== undefined) {
    await mkdir(`${tree}/etc`)
    await writeFile(`${tree}/etc/${deb.name}.conf`, deb.conffile)
    await writeFile(`${tree}/DEBIAN/conffiles`, `/etc/${deb.name}.conf\n`)
  }
  if (deb.postinst !== undefined) await writeFile(`${tree}/DEBIAN/postinst`, `#!/bin/sh\n${deb.postinst}\n`, { mode: 0o755 })
  await mkdir(dirname(file), { recursive: true })
  await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, file])
  await rm(tree, { recursive: true })
}

/** A shell and what it is linked with: packages with scripts need one inside their root. */
async function addShell(root: string): Promise<void> {
  const libraries = execFileSync('ldd', ['/bin/sh'], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  for (const file of ['/bin/sh', ...libraries]) await cp(file, `${root}${file}`, { recursive: true, dereference: true })
}

async function fresh(): Promise<PackagesBench> {
  const directory = await mkdtemp(`${tmpdir()}/murmuration-packages-`)
  directories.push(directory)
  const root = `${directory}/root`
  await mkdir(root)
  const abort = new AbortController()
  const node = { name: 'n1' as NodeName, personality: 'worker' as const, root, hasAgent: true }
  const built = async (tree: string, debs: Deb[]): Promise<ReleaseOf> => {
    const path = `${directory}/staged/${tree}`
    for (const deb of debs) if (!existsSync(`${path}/pool/${deb.name}.deb`)) await buildDeb(directory, deb, `${path}/pool/${deb.name}.deb`)
    await mkdir(path, { recursive: true })
    const digest = Buffer.from(tree).toString('hex').padEnd(64, '0')
    const component = Component.parse({ name: 'app', version: tree, config: { driver: 'packages' }, tree: { digest, listingBytes: 1, size: 1, files: 1 } })
    return { component, tree: { path, digest } }
  }
  return {
    directory,
    root,
    abort,
    built,
    host: nodeHost,
    driver: drivers.packages,
    release: (version) =>
      built(version, [
        { name: 'murmur-app', version: version === 'one' ? '1.0' : '2.0', text: version, depends: 'murmur-library' },
        { name: 'murmur-library', version: '1.0', text: 'library' },
      ]),
    change: (from, to): Change => ({ node, component: 'app', from, to, stateDirectory: `${directory}/state`, signal: abort.signal }),
    world: () => readFile(`${root}/usr/share/murmur-app/version`, 'utf8').catch(() => null),
  }
}

describe('the packages driver', () => {
  driverCases(fresh)

  const app = (version: string, more: Partial<Deb> = {}): Deb => ({ name: 'murmur-app', version, text: version, ...more })
  const extra: Deb = { name: 'murmur-extra', version: '1.0', text: 'extra', conffile: 'extra=1' }
  const versionOf = (bench: PackagesBench, name: string): Promise<string | null> => readFile(`${bench.root}/usr/share/${name}/version`, 'utf8').catch(() => null)

  test('packages that come and go with a release do so, and come back with a rollback', async () => {
    const bench = await fresh()
    const [one, two] = [await bench.built('one', [app('1.0'), extra]), await bench.built('two', [app('2.0'), { ...extra, name: 'murmur-new' }])]
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, two)
    for (const verb of ['stage', 'apply', 'verify'] as const) await bench.driver[verb](bench.host, change)
    expect([await versionOf(bench, 'murmur-extra'), await versionOf(bench, 'murmur-new')]).toEqual([null, 'extra'])
    await bench.driver.rollback(bench.host, change)
    expect([await bench.world(), await versionOf(bench, 'murmur-extra'), await versionOf(bench, 'murmur-new')]).toEqual(['1.0', 'extra', null])
    expect(existsSync(`${bench.root}/etc/murmur-new.conf`)).toBe(false)
  })

  test('a configuration file that somebody changed is kept, without a question', async () => {
    const bench = await fresh()
    const [one, two] = [await bench.built('one', [app('1.0', { conffile: 'a=1\n' })]), await bench.built('two', [app('2.0', { conffile: 'a=2\n' })])]
    await deploy(bench, bench.change(null, one))
    await writeFile(`${bench.root}/etc/murmur-app.conf`, 'a=mine\n')
    await deploy(bench, bench.change(one, two))
    expect(await readFile(`${bench.root}/etc/murmur-app.conf`, 'utf8')).toBe('a=mine\n')
  })

  test('a package whose script fails leaves it in between, and the old release comes back', async () => {
    const bench = await fresh()
    await addShell(bench.root)
    const [one, two] = [await bench.built('one', [app('1.0')]), await bench.built('two', [app('2.0', { postinst: 'echo no room for it; exit 7' })])]
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, two)
    await bench.driver.stage(bench.host, change)
    const error = await errorOf(bench.driver.apply(bench.host, change))
    expect(error.code).toBe('dpkg-failed')
    expect(error.message).toContain('status 1')
    expect((await bench.driver.observe(bench.host, change)).state).toBe('mixed')
    await bench.driver.rollback(bench.host, change)
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'present', digest: one.tree.digest })
    expect(await bench.world()).toBe('1.0')
  })

  test.each(['apply', 'rollback'] as const)('a dpkg that was killed in the middle is repaired by %s (F21, F33)', async (recovery) => {
    const bench = await fresh()
    await addShell(bench.root)
    const postinst = '[ -e /second ] && exit 0; : > /second; while :; do :; done'
    const [one, two] = [await bench.built('one', [app('1.0'), extra]), await bench.built('two', [app('2.0', { postinst }), extra])]
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, two)
    await bench.driver.stage(bench.host, change)
    const applying = errorOf(bench.driver.apply(bench.host, change))
    await expect.poll(() => existsSync(`${bench.root}/second`), { timeout: 10_000 }).toBe(true)
    bench.abort.abort()
    expect((await applying).code).toBe('dpkg-cancelled')
    const again = { ...change, signal: new AbortController().signal }
    expect((await bench.driver.observe(bench.host, again)).state).toBe('mixed')
    await bench.driver[recovery](bench.host, again)
    expect(await bench.driver.observe(bench.host, again)).toEqual({ state: 'present', digest: (recovery === 'apply' ? two : one).tree.digest })
    expect(await bench.world()).toBe(recovery === 'apply' ? '2.0' : '1.0')
  })

  test('a foreign package that could not be brought back is refused before anything changes, its own version is left', async () => {
    const bench = await fresh()
    const [foreign, two, same] = [await bench.built('foreign', [app('1.5')]), await bench.built('two', [app('2.0')]), await bench.built('same', [app('1.5'), extra])]
    await deploy(bench, bench.change(null, foreign))
    expect((await errorOf(bench.driver.stage(bench.host, bench.change(null, two)))).code).toBe('no-way-back')
    const change = bench.change(null, same)
    for (const verb of ['stage', 'apply', 'verify', 'rollback'] as const) await bench.driver[verb](bench.host, change)
    expect([await bench.world(), await versionOf(bench, 'murmur-extra')]).toEqual(['1.5', null])
  })

  test('a tree without packages, with one twice, or with something else under the name is refused', async () => {
    const bench = await fresh()
    const none = await bench.built('none', [])
    expect((await errorOf(bench.driver.stage(bench.host, bench.change(null, none)))).code).toBe('no-packages')
    const twice = await bench.built('twice', [app('1.0')])
    await cp(`${twice.tree.path}/pool/murmur-app.deb`, `${twice.tree.path}/again.deb`)
    expect((await errorOf(bench.driver.stage(bench.host, bench.change(null, twice)))).code).toBe('duplicate-package')
    await writeFile(`${none.tree.path}/fake.deb`, 'not a package')
    expect((await errorOf(bench.driver.stage(bench.host, bench.change(null, none)))).code).toBe('dpkg-failed')
  })

  test('a host without dpkg says so', async () => {
    const bench = await fresh()
    const host = { ...bench.host, processes: { run: async () => ({ how: 'not-started' as const, exitCode: null, output: 'ENOENT', outputBytes: 0 }) } }
    expect((await errorOf(bench.driver.stage(host, bench.change(null, await bench.release('one'))))).code).toBe('dpkg-not-started')
  })
})
