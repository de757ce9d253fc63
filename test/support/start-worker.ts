import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createClient, type Client } from '../../cli/client.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { hashSecret, newSecret } from '../../functions/auth/secret.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { makeKey, signTrust, type TestKey } from './controller.ts'
import { freePort } from './free-port.ts'
import { Program, sleep, until } from './program.ts'

const repository = join(import.meta.dirname, '../..')
const wrangler = join(repository, 'node_modules/wrangler/bin/wrangler.js')
const configuration = ['--config', join(repository, 'wrangler.toml')]
/** Wrangler keeps its own files where the test says, and asks nobody anything. */
const environmentIn = (directory: string) => ({ WRANGLER_SEND_METRICS: 'false', CI: '1', WRANGLER_LOG_PATH: directory, XDG_CONFIG_HOME: directory, HOME: directory, PATH: process.env.PATH ?? '' })

/** Builds the Worker as a deployment would, without one. `entry`, a path from the root of the repository, takes the place of the real one. Resolves with what wrangler printed. */
export async function bundleWorker(directory: string, entry?: string): Promise<{ script: string; output: string }> {
  const args = [wrangler, 'deploy', ...(entry === undefined ? [] : [join(repository, entry)]), ...configuration, '--dry-run', '--outdir', directory]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env: environmentIn(directory) })
  return { script: join(directory, `${entry === undefined ? 'worker' : entry.replace(/^.*\/|\.ts$/g, '')}.js`), output: stdout + stderr }
}

/** A Worker that is nothing but `entry`, in real workerd. */
export async function startBareWorker(directory: string, entry: string) {
  const { script } = await bundleWorker(join(directory, 'bundle'), entry)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const program = new Program('workerd', process.execPath, devArguments(directory, script, port), environmentIn(directory), { withChildren: true })
  program.start()
  await until('the Worker answers', async () => (await fetch(`${url}/ready`)).ok, [program], 90_000)
  return { url, program }
}

const devArguments = (directory: string, script: string, port: number): string[] => [
  wrangler, 'dev', script, ...configuration, '--no-bundle', '--port', String(port), '--ip', '127.0.0.1', '--inspector-port', '0', '--local',
  '--persist-to', join(directory, 'state'), '--show-interactive-dev-session=false',
]

export type WorkerOptions = {
  /** Where the bundle, R2's objects and wrangler's own files are. */
  directory: string
  /** With the schema in it. */
  databaseUrl: string
  /** Settings besides what every test Worker has; the broker's must be there. */
  settings: Record<string, string>
  /** A file of the repository that takes the place of the real entry. */
  entry?: string
  /** Workerd holds isolates to no memory limit of its own; with this V8 does. */
  heapMegabytesMax?: number
}
export type WorkerHost = Awaited<ReturnType<typeof startWorker>>

/** The controller in real workerd with a local R2 bucket and trust installed: the very bundle that a deployment would upload. */
export async function startWorker(options: WorkerOptions) {
  const { directory, databaseUrl } = options
  const bundle = join(directory, 'bundle')
  await mkdir(bundle, { recursive: true })
  const { script } = await bundleWorker(bundle, options.entry)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const [root, publisher, fleetKey]: TestKey[] = await Promise.all([makeKey('root'), makeKey('publisher'), makeKey('fleet')])
  const admin = newSecret(sortableIds, 'mm')
  const ingestSecret = new Uint8Array(32).fill(9)
  const variables = {
    MURMUR_FLEET: 'practice', MURMUR_PUBLIC_URL: url, MURMUR_DATABASE_URL: databaseUrl, MURMUR_FLEET_KEY: toBase64(fleetKey!.privateKey), MURMUR_INGEST_SECRET: toBase64(ingestSecret),
    MURMUR_FIRST_ADMIN_HASH: await hashSecret(nodeCrypto, admin), ...options.settings,
  }
  const heapLimit: Record<string, string> = options.heapMegabytesMax === undefined ? {} : { MINIFLARE_WORKERD_V8_FLAGS: `--max-heap-size=${options.heapMegabytesMax}` }
  const program = new Program('workerd', process.execPath, [...devArguments(directory, script, port), ...Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`])],
    { ...environmentIn(directory), ...heapLimit }, { withChildren: true })
  const start = async (): Promise<void> => {
    program.start()
    await until('the Worker answers', async () => (await fetch(`${url}/readyz`)).ok, [program], 90_000)
  }
  await start()
  const client: Client = createClient({ url, token: admin, sleep })
  await client.call(contracts.putTrust, { body: await signTrust(root!, { publisherKeys: [publisher!.trusted], fleetKeys: [fleetKey!.trusted] }) })
  return {
    url, client, program, publisher: publisher!, rootFingerprint: root!.keyid, ingestSecret, start,
    /** Fires the cron trigger, as the platform does every minute; rejects when the scheduled function did not end well. */
    async cron(atMs = Date.now()): Promise<void> {
      const answer = await fetch(`${url}/cdn-cgi/handler/scheduled?cron=${encodeURIComponent('* * * * *')}&time=${atMs}&format=json`)
      const { outcome } = (await answer.json()) as { outcome: string }
      if (outcome !== 'ok') throw new Error(`the scheduled function ended ${outcome}`)
    },
  }
}
