import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { scanRelease } from '../../cli/publish/scan-release.ts'
import type { Change } from '../../edge-agent/driver/contract.ts'
import { drivers } from '../../edge-agent/driver/drivers.ts'
import { runChecks } from '../../edge-agent/health/run-checks.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import type { Node } from '../../edge-agent/node/node.ts'
import { judgeMonitoring } from '../../functions/monitoring/judge.ts'
import { monitoringContracts } from '../../protocol/http/monitoring.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { RolloutRequest } from '../../protocol/policy.ts'

const examples = resolve(import.meta.dirname, '../../examples')
const signal = new AbortController().signal

/** A release's components with their trees, as an agent has them once they are staged. */
type Staged = NonNullable<Change['from']>[]

async function stage(version: string): Promise<Staged> {
  const path = join(examples, `sign-${version}/release.yaml`)
  const { manifest, trees } = await scanRelease(parseReleaseFile(await readFile(path, 'utf8'), path), { createdAtMs: 0 })
  return manifest.components.map((component, i) => ({ component, tree: { path: trees[i]!.directory, digest: component.tree.digest } }))
}

let directory: string
let node: Node
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'murmur-node-'))
  node = { name: 'display-1' as NodeName, personality: 'worker', root: join(directory, 'root'), hasAgent: true }
  await mkdir(node.root)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** Takes the node from one release to the other with the drivers, or tries to and goes back. Returns what the checks found. */
async function take(from: Staged | null, to: Staged): Promise<string | null> {
  const changes = to.map((side, i): Change => ({ node, component: side.component.name, from: from?.[i] ?? null, to: side, stateDirectory: join(directory, 'state', side.component.name), signal }))
  const driverOf = (change: Change) => drivers[change.to!.component.config.driver]
  for (const verb of ['stage', 'apply', 'verify'] as const) for (const change of changes) await driverOf(change)[verb](nodeHost, change)
  const fault = await runChecks(nodeHost, node, to, signal)
  for (const verb of [fault === null ? 'commit' : 'rollback', 'cleanup'] as const) for (const change of changes.toReversed()) await driverOf(change)[verb](nodeHost, change)
  return fault?.detail ?? null
}

const page = (): Promise<string> => readFile(join(node.root, 'srv/sign/index.html'), 'utf8')
const look = (): Promise<string> => readFile(join(node.root, 'srv/sign/assets/look.css'), 'utf8')

test('the sign shows each release with the name of its node', async () => {
  const [first, second] = [await stage('1.0.0'), await stage('1.1.0')]
  expect(await take(null, first)).toBeNull()
  expect([await page(), await look()]).toEqual([expect.stringMatching(/display-1[^]*release 1\.0\.0/), await readFile(join(examples, 'sign-1.0.0/assets/look.css'), 'utf8')])
  expect(await take(first, second)).toBeNull()
  expect([await page(), await look()]).toEqual([expect.stringMatching(/display-1[^]*release 1\.1\.0/), await readFile(join(examples, 'sign-1.1.0/assets/look.css'), 'utf8')])
})

test('a node with the marker refuses 1.1.0, says why, and shows 1.0.0 as before', async () => {
  const [first, second] = [await stage('1.0.0'), await stage('1.1.0')]
  await take(null, first)
  const before = [await page(), await look()]
  await mkdir(join(node.root, 'etc/murmur-practice'), { recursive: true })
  await writeFile(join(node.root, 'etc/murmur-practice/refuse-1.1.0'), '')
  expect(await take(first, second)).toContain('this display cannot show release 1.1.0')
  expect([await page(), await look()]).toEqual(before)
})

test('a node that cannot show the first release it gets is left without a sign', async () => {
  await mkdir(join(node.root, 'etc/murmur-practice'), { recursive: true })
  await writeFile(join(node.root, 'etc/murmur-practice/refuse-1.1.0'), '')
  expect(await take(null, await stage('1.1.0'))).not.toBeNull()
  await expect(page()).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(look()).rejects.toMatchObject({ code: 'ENOENT' })
})

test('the example of a whole rollout is one', async () => {
  expect(RolloutRequest.safeParse(parse(await readFile(join(examples, 'rollout.yaml'), 'utf8'))).error).toBeUndefined()
})

test('the example of a rule is one that sites can follow', async () => {
  const rule = monitoringContracts.putMonitoringRule.body!.parse(parse(await readFile(join(examples, 'monitoring.yaml'), 'utf8')))
  expect(judgeMonitoring(rule.settings)).toEqual([])
})
