import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { publishRelease } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { createAgent, type Agent } from '../../edge-agent/agent.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import { enrol } from '../../edge-agent/link/enrol.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { SiteId } from '../../protocol/ids.ts'
import { needs } from '../support/needs.ts'
import { until } from '../e2e/real-processes.ts'
import { startWorkerHost, type WorkerHost } from './worker-host.ts'

const { describe, test } = needs('workerd', 'sqld')
const sites = ['alpha', 'beta', 'gamma'].map((id) => SiteId.parse(id))

describe('the controller in workerd, with R2 and a libSQL server', () => {
  let host: WorkerHost
  const agents: Agent[] = []
  const target = (site: string) => join(host.directory, 'nodes', site, 'opt/app/version')

  beforeAll(async () => {
    host = await startWorkerHost()
    for (const site of sites) {
      const { claim } = await host.client.call(contracts.createSite, { body: { id: site } })
      const root = join(host.directory, 'nodes', site)
      await mkdir(root, { recursive: true })
      const config = await enrol(nodeHost, webCrypto, {
        controllerUrl: host.url, site, claim: claim.claim, rootFingerprint: host.rootFingerprint, stateDirectory: join(host.directory, 'agents', site), replace: false,
        nodes: [{ name: 'node-0', root, personality: 'controller', hasAgent: true }],
      })
      const agent = createAgent({ config, host: nodeHost, crypto: webCrypto })
      await agent.start()
      agents.push(agent)
    }
  }, 180_000)
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop()))
    await host?.stop()
  }, 60_000)

  test('publishes a release and rolls it out to three sites', async () => {
    const { client } = host
    await until('every site is online', async () => (await client.call(contracts.listSites, { query: {} })).items.filter((s) => s.presence === 'online').length === 3, host.programs)
    const source = join(host.directory, 'release')
    await mkdir(join(source, 'tree'), { recursive: true })
    await writeFile(join(source, 'tree', 'version'), 'one')
    const yaml = 'name: app\nversion: 1.0.0\ncomponents:\n  - {name: app, driver: files, source: tree, target: /opt/app}\n'
    // releases are confirmed by the schedule, which here comes when the test says so
    const ticking = setInterval(() => void host.cron().catch(() => undefined), 500)
    const published = await publishRelease({ client, file: parseReleaseFile(yaml, join(source, 'release.yaml')), key: host.publisher }).finally(() => clearInterval(ticking))
    expect(published.release.state).toBe('available')
    const { id } = await client.call(contracts.createRollout, { body: { name: 'first', target: { release: published.release.id }, selector: { all: true } } })
    await until('the rollout has ended', async () => (await client.call(contracts.getRollout, { params: { rollout: id } })).state === 'completed', host.programs)
    expect((await client.call(contracts.getRollout, { params: { rollout: id } })).counts).toEqual({ succeeded: 3 })
    for (const site of sites) expect(await readFile(target(site), 'utf8')).toBe('one')
  }, 120_000)

  test('does its scheduled work on the cron trigger, and serves the same API description', async () => {
    await host.cron()
    const description = (await (await fetch(`${host.url}/openapi.json`)).json()) as { openapi: string; paths: Record<string, unknown> }
    expect([description.openapi, Object.keys(description.paths).length > 20]).toEqual(['3.1.0', true])
    const sealed = await host.database.orm.all<{ n: number }>('SELECT count(*) AS n FROM audit WHERE seal IS NOT NULL')
    expect(sealed[0]!.n).toBeGreaterThan(0)
  }, 30_000)
})
