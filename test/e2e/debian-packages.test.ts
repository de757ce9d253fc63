import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { contracts } from '../../protocol/http/contracts.ts'
import type { RolloutId } from '../../protocol/ids.ts'
import { needs } from '../support/needs.ts'
import { until } from '../support/program.ts'
import { startRealFleet, type RealFleet } from './real-processes.ts'

const sites = ['north', 'east']
const { describe, test } = needs('mosquitto', 'dpkg', 'root')

describe('a release with Debian packages, at real sites', () => {
  let fleet: RealFleet
  beforeAll(async () => {
    fleet = await startRealFleet(sites)
  })
  afterAll(() => fleet?.stop())

  const view = (rollout: RolloutId) => fleet.client.call(contracts.getRollout, { params: { rollout } })
  const ended = (rollout: RolloutId) => until('the rollout has ended', async () => (await view(rollout)).state === 'completed', fleet.programs(), 90_000)
  const startRollout = async (release: string) => {
    const body = { name: `to ${release}`, target: { release: release as never }, selector: { all: true as const }, policy: { waves: [{ name: 'all', size: 'rest' as const }], maxParallel: sites.length } }
    return (await fleet.client.call(contracts.createRollout, { body })).id
  }

  test('installs real packages, runs a script after them, and takes both back when the site is told to', async () => {
    await fleet.publish('4.0.0', { version: { text: 'four' } })
    await ended(await startRollout('app@4.0.0'))
    const source = join(fleet.directory, 'releases', '5.0.0')
    await buildDeb(join(source, 'debs'), 'till-driver', '1.2')
    await mkdir(join(source, 'setup'), { recursive: true })
    await writeFile(join(source, 'setup', 'apply'), '#!/bin/sh\necho "set up for $MURMUR_TO_VERSION on $MURMUR_NODE" > "$MURMUR_NODE_ROOT/setup.txt"\n', { mode: 0o755 })
    await writeFile(join(source, 'setup', 'undo'), '#!/bin/sh\nrm -f "$MURMUR_NODE_ROOT/setup.txt"\n', { mode: 0o755 })
    const more = '  - {name: debs, driver: packages, source: debs}\n  - {name: setup, driver: script, source: setup, apply: apply, rollback: undo}\n'
    await fleet.publish('5.0.0', { version: { text: 'five' } }, more)
    const id = await startRollout('app@5.0.0')
    await ended(id)
    expect((await view(id)).counts).toEqual({ succeeded: sites.length })
    const root = fleet.nodeRoot('north', 0)
    expect(await readFile(join(root, 'usr/share/till-driver/model'), 'utf8')).toBe('1.2')
    expect(await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')).toMatch(/Package: till-driver\nStatus: install ok installed/)
    expect(await readFile(join(root, 'setup.txt'), 'utf8')).toBe('set up for 5.0.0 on node-0\n')
    const back = await fleet.client.call(contracts.rollbackRollout, { params: { rollout: id }, body: { reason: 'not wanted' } })
    await ended(back.id)
    expect(await readFile(join(root, 'opt/app/version'), 'utf8')).toBe('four')
    await expect(readFile(join(root, 'usr/share/till-driver/model'))).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(readFile(join(root, 'setup.txt'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

/** A real package with one file, into `directory`. */
async function buildDeb(directory: string, name: string, version: string): Promise<void> {
  const content = `${directory}-content`
  await mkdir(join(content, 'DEBIAN'), { recursive: true })
  await mkdir(join(content, 'usr/share', name), { recursive: true })
  await writeFile(join(content, 'usr/share', name, 'model'), version)
  await writeFile(join(content, 'DEBIAN/control'), `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: The Murmuration authors <nobody@example.com>\nDescription: made by a test\n`)
  await mkdir(directory, { recursive: true })
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', content, join(directory, `${name}.deb`)], { stdio: 'ignore' })
}
