import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { link, mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { scanTree } from '../../artifact/scan-tree.ts'
import { createClient, type Client } from '../../cli/client.ts'
import { publishRelease } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { buildVersion } from '../../infra/agent/build-version.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { DeploymentView } from '../../protocol/http/rollouts.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { freePort } from '../support/free-port.ts'
import { makeKey, signTrust } from '../support/controller.ts'
import { Program, sleep, until } from '../support/program.ts'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

/** What a service manager does: starts a program, and again whenever it ends, until it is stopped. */
class Service {
  readonly #start: () => ChildProcess
  #child: ChildProcess | null = null
  #wanted = false
  output = ''

  constructor(command: string, args: readonly string[], environment: Record<string, string>) {
    this.#start = () => spawn(command, args, { cwd: tmpdir(), env: { PATH: process.env.PATH ?? '', ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
    process.once('exit', () => this.#child?.kill('SIGKILL'))
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  start(): void {
    this.#wanted = true
    const child = this.#start()
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (this.output = (this.output + data.toString()).slice(-40_000)))
    child.once('exit', () => {
      if (this.#wanted) setTimeout(() => this.#wanted && this.#child === child && this.start(), 200)
    })
  }

  async stop(): Promise<void> {
    this.#wanted = false
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }
}

export type InstalledSite = Awaited<ReturnType<typeof startInstalledSite>>

/** A controller of its own, and one site whose agent was installed from the real archive by the real installer. */
export async function startInstalledSite(trialS: number) {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-installed-'))
  const at = (path: string): string => join(directory, path)
  await mkdir(at('data'), { mode: 0o700 })
  const keys = await openNodeKeys(nodeCrypto, at('data'))
  const [httpPort, brokerPort] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${httpPort}`
  const controller = new Program('controller', process.execPath, [join(root, 'functions/entry/node.ts')], { MURMUR_FLEET: 'practice', MURMUR_DATA: at('data'), PORT: String(httpPort), MURMUR_BROKER_PORT: String(brokerPort) })
  controller.start()
  await until('the controller answers', async () => (await fetch(`${url}/readyz`)).ok, [controller])
  const client: Client = createClient({ url, token: (await readFile(at('data/admin-token'), 'utf8')).trim(), sleep })
  const [rootKey, publisher] = [await makeKey('root'), await makeKey('publisher')]
  await client.call(contracts.putTrust, { body: await signTrust(rootKey, { publisherKeys: [publisher.trusted], fleetKeys: [{ keyid: keys.fleet.keyid, publicKey: toBase64(keys.fleet.publicKey), name: 'fleet' }] }) })

  await run(process.execPath, [join(root, 'infra/agent/build.ts'), '--out', directory])
  const archive = (await run('sh', ['-c', `ls ${directory}/*.tar.gz`])).stdout.trim()
  await run('tar', ['xzf', archive, '-C', directory])
  const unpacked = archive.replace('.tar.gz', '')
  const { claim } = await client.call(contracts.createSite, { body: { id: 'harbour' as SiteId } })
  await mkdir(at('node'))
  const places = ['--install', at('install'), '--state', at('state'), '--environment', at('agent.env'), '--no-service']
  const install = (...words: string[]) => run(join(unpacked, 'install.sh'), [...words, ...places])
  await install(...claim.enrolLine.split(' '), '--node', `node-0=${at('node')},controller`)
  const config = JSON.parse(await readFile(at('state/agent.json'), 'utf8')) as object
  await writeFile(at('state/agent.json'), JSON.stringify({ ...config, jitterMs: 200, reconnectMsMax: 1000, keepAliveS: 5 }))
  const service = new Service(at('install/launcher'), ['run', '--state', at('state')], { MURMUR_AGENT_TRIAL_S: String(trialS) })

  const built = at('built')
  await buildVersion(built, join(process.execPath, '../..')).catch(async () => buildVersion(built, join(root, 'node_modules', `node-linux-${process.arch}`)))
  const program = await readFile(join(built, 'agent.mjs'), 'utf8')
  const site = () => client.call(contracts.getSite, { params: { site: 'harbour' as SiteId } })
  return {
    directory, client, service, install, site, controller,
    current: async () => basename(await readlink(at('install/current'))),
    /** Launcher and agent, as the launcher noted them. */
    pids: async () => (await readFile(at('install/pids'), 'utf8')).trim().split(' ').map(Number),
    isOnline: async (version: string) => {
      const view = await site()
      return view.presence === 'online' && view.agentVersion === version
    },
    /** A version of the agent whose program was changed; `real` has its own Node, others borrow this one's. */
    async version(name: string, change: (program: string) => string, real = false): Promise<string> {
      const tree = at(`versions/${name}`)
      await mkdir(join(tree, 'bin'), { recursive: true })
      if (real) await link(join(built, 'bin/node'), join(tree, 'bin/node'))
      else await writeFile(join(tree, 'bin/node'), `#!/bin/sh\nexec ${process.execPath} "$@"\n`, { mode: 0o755 })
      await writeFile(join(tree, 'agent.mjs'), change(program).replaceAll(/agentVersion="[^"]*"/g, `agentVersion="${name}"`))
      return (await scanTree(tree)).ref.digest
    },
    /** Publishes a release with this version of the agent, and takes the site to it; returns its deployment when that has ended. */
    async rollOut(release: string, version: string, meanwhile: () => Promise<void> = async () => undefined): Promise<DeploymentView> {
      const yaml = `name: site\nversion: ${release}\ncomponents:\n  - {name: agent, driver: agent, source: ${at(`versions/${version}`)}, protocol: {min: 1, max: 2}}\n`
      await writeFile(at('release.yaml'), yaml)
      await publishRelease({ client, file: parseReleaseFile(yaml, at('release.yaml')), key: publisher })
      const { id } = await client.call(contracts.createRollout, { body: { name: release, target: { release: `site@${release}` as never }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }] } } })
      await meanwhile()
      let deployment: DeploymentView | undefined
      await until(`the deployment of ${release} has ended`, async () => {
        deployment = (await client.call(contracts.listDeployments, { params: { rollout: id }, query: { limit: 5 } })).items[0]
        return ['succeeded', 'failed', 'rolled-back', 'timed-out', 'needs-hands'].includes(deployment?.state ?? '')
      }, [controller, { name: 'service', output: service.output } as Program], 90_000).catch((error: Error) => {
        throw new Error(`${error.message}\n${JSON.stringify(deployment)}\n--- service\n${service.output.slice(-6000)}`)
      })
      if (deployment!.state !== 'succeeded') await client.call(contracts.abortRollout, { params: { rollout: id }, body: { mode: 'finish', reason: 'it failed' } })
      return deployment!
    },
    async stop(): Promise<void> {
      await service.stop()
      await controller.end()
      await rm(directory, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}
