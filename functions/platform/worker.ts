import { AsyncLocalStorage } from 'node:async_hooks'
import packageJson from '../../package.json' with { type: 'json' }
import { openDatabase } from '../../db/client.ts'
import { fromBase64 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { keyIdOf, type SigningKey } from '../../protocol/envelope.ts'
import { createFetchHttpSender } from '../adapters/cloudflare/http-sender.ts'
import { gunzip } from '../adapters/node/gunzip.ts'
import { jsonLog } from '../adapters/node/json-log.ts'
import { sortableIds } from '../adapters/node/sortable-ids.ts'
import { systemClock } from '../adapters/node/system-clock.ts'
import { ensureFirstAdmin } from '../auth/ensure-first-admin.ts'
import { newContext, type Deps } from '../context.ts'
import { createApp } from '../http/app.ts'
import { createJobs, runJob } from '../jobs.ts'
import { requireMigrations } from '../link/require-migrations.ts'
import { openWorkerBroker } from './worker-broker.ts'
import { readWorkerSettings, type WorkerBindings } from './worker-env.ts'
import { openWorkerObjectStore } from './worker-object-store.ts'

/** What of Workers' execution context is used. */
export type Execution = { waitUntil(work: Promise<unknown>): void }
export type WorkerPlatform = { fetch(request: Request, execution: Execution): Promise<Response>; runJobs(scheduledMs: number, execution: Execution): Promise<void> }

/** Which invocation background work belongs to: the app is built once per isolate, and each request has its own `waitUntil`. */
const invocation = new AsyncLocalStorage<Execution>()

/** Builds the controller for one isolate, out of fetch-based clients only: sockets must not be shared between requests. */
export async function openWorkerPlatform(bindings: WorkerBindings): Promise<WorkerPlatform> {
  const settings = readWorkerSettings(bindings)
  const log = jsonLog('info')
  const ingestSecret = fromBase64(settings.MURMUR_INGEST_SECRET)
  const fleetKey = await importKey(settings.MURMUR_FLEET_KEY)
  const signing = { baseUrl: settings.MURMUR_PUBLIC_URL, secret: await webCrypto.derive(ingestSecret, 'murmur object urls'), clock: systemClock, crypto: webCrypto }
  const { store, route } = openWorkerObjectStore(settings, bindings, signing)
  const broker = openWorkerBroker(settings, ingestSecret, log)
  const deps: Deps = {
    db: await openDatabase(settings.MURMUR_DATABASE_URL, settings.MURMUR_DATABASE_TOKEN, Number.POSITIVE_INFINITY), store, broker, clock: systemClock, ids: sortableIds, crypto: webCrypto, gunzip, log,
    http: createFetchHttpSender({ allowed: settings.MURMUR_WEBHOOK_ALLOW, resolverUrl: settings.MURMUR_WEBHOOK_RESOLVER }),
    keys: { fleetKey: () => fleetKey, ingestSecret: () => ingestSecret },
    config: { fleet: settings.MURMUR_FLEET, publicUrl: settings.MURMUR_PUBLIC_URL, version: packageJson.version, host: 'worker' },
    background: (work) => invocation.getStore()?.waitUntil(work),
  }
  await requireMigrations(deps)
  if (settings.MURMUR_FIRST_ADMIN_HASH !== undefined) await ensureFirstAdmin(newContext(deps, { name: 'controller', role: 'controller' }, 'first-admin'), settings.MURMUR_FIRST_ADMIN_HASH)
  const app = createApp(deps)
  if (route !== null) app.route('/', route)
  const jobs = createJobs(deps)
  return {
    fetch: (request, execution) => invocation.run(execution, async () => app.fetch(request)),
    runJobs: (scheduledMs, execution) =>
      invocation.run(execution, async () => {
        for (const job of jobs) {
          if (job.everyMs > cronMs && scheduledMs % job.everyMs >= cronMs) continue
          await runJob(job, log)
        }
      }),
  }
}

/** Cron triggers come once a minute; jobs that want to run more often do their work on requests and reports in between. */
const cronMs = 60_000

async function importKey(base64: string): Promise<SigningKey> {
  const privateKey = fromBase64(base64)
  return { privateKey, keyid: await keyIdOf(webCrypto, await webCrypto.publicKeyOf(privateKey)) }
}
