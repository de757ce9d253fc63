import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toBase64 } from '../../protocol/bytes.ts'
import { makeKey } from '../../test/support/controller.ts'
import { freePort } from '../../test/support/free-port.ts'
import { bundleWorker } from '../../test/support/start-worker.ts'

const workerd = join(import.meta.dirname, '../../node_modules/@cloudflare/workerd-linux-64/bin/workerd')

/** Nothing that the first answer needs lies behind these, but for the database. */
async function settingsOf(databaseUrl: string): Promise<Record<string, string>> {
  const nowhere = 'http://127.0.0.1:9'
  return {
    MURMUR_FLEET: 'practice', MURMUR_PUBLIC_URL: nowhere, MURMUR_DATABASE_URL: databaseUrl, MURMUR_BROKER_URL: 'ws://127.0.0.1:9', MURMUR_BROKER_SITES_URL: 'mqtt://127.0.0.1:9', MURMUR_BROKER_USERNAME: 'x',
    MURMUR_BROKER_PASSWORD: 'x', MURMUR_FLEET_KEY: toBase64((await makeKey('fleet')).privateKey), MURMUR_INGEST_SECRET: toBase64(new Uint8Array(32).fill(1)),
  }
}

/** A configuration for workerd alone, without wrangler around it: the Worker in `directory/worker.js`; with a database it is ours, and built there first. */
export async function prepareWorkerd(directory: string, databaseUrl: string | null): Promise<{ program: string; args: string[]; port: number }> {
  if (databaseUrl !== null) await bundleWorker(directory)
  const port = await freePort()
  const settings = databaseUrl === null ? {} : await settingsOf(databaseUrl)
  const texts = Object.entries(settings).map(([name, value]) => `(name = "${name}", text = "${value}")`)
  const configuration = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "store", external = (address = "127.0.0.1:9", http = ())), (name = "internet", network = (allow = ["private"]))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-10-15",
  compatibilityFlags = ["nodejs_compat"],
  bindings = [${[...texts, ...(databaseUrl !== null ? ['(name = "OBJECTS", r2Bucket = (name = "store"))'] : [])].join(', ')}],
);
`
  const file = join(directory, 'workerd.capnp')
  await writeFile(file, configuration)
  return { program: workerd, args: ['serve', file], port }
}
