import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { scanRelease } from '../../cli/publish/scan-release.ts'

const directories: string[] = []
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})

/** A directory with a version of the agent, and a release.yaml that brings it after another component. */
async function release(more = ''): Promise<{ directory: string; scan: () => ReturnType<typeof scanRelease> }> {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-release-'))
  directories.push(directory)
  await mkdir(join(directory, 'agent/bin'), { recursive: true })
  await mkdir(join(directory, 'app'))
  await writeFile(join(directory, 'app/version'), '1')
  await writeFile(join(directory, 'agent/bin/node'), 'node', { mode: 0o755 })
  await writeFile(join(directory, 'agent/agent.mjs'), 'agent')
  const yaml = `name: site\nversion: 1.0.0\n${more}components:\n  - {name: app, driver: files, source: app, target: /opt/app}\n  - {name: agent, driver: agent, source: agent, protocol: {min: 1, max: 2}}\n`
  return { directory, scan: () => scanRelease(parseReleaseFile(yaml, join(directory, 'release.yaml')), { createdAtMs: 0 }) }
}

test('a release with an agent asks for agents that can replace themselves, without being told to', async () => {
  expect((await (await release()).scan()).manifest.protocolMin).toBe(2)
  expect((await (await release('protocolMin: 3\n')).scan()).manifest.protocolMin).toBe(3)
})

test('a directory that is no version of the agent is refused before anything is sent', async () => {
  const { directory, scan } = await release()
  await chmod(join(directory, 'agent/bin/node'), 0o644)
  await expect(scan()).rejects.toThrow('component agent: bin/node is not executable')
  await rm(join(directory, 'agent/agent.mjs'))
  await expect(scan()).rejects.toThrow('component agent: there is no agent.mjs')
})
