import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { startDatabaseProxy } from '../support/hrana-proxy.ts'
import { startOpenBroker } from '../support/open-broker.ts'
import { startSqld } from '../support/start-sqld.ts'
import { startWorker, type WorkerOptions } from '../support/start-worker.ts'
import { startWhole } from '../support/start-whole.ts'

/** `more`: settings besides what each rig has. */
type RigOptions = Pick<WorkerOptions, 'entry' | 'heapMegabytesMax'> & { more?: Record<string, string> }
export type Rig = Awaited<ReturnType<typeof startRig>>

/**
 * The controller in real workerd, with a libSQL server behind a proxy that counts and may interfere, and a broker that
 * counts. `db` goes to the server past the proxy. `entry` takes the place of the Worker's real entry.
 */
export async function startRig(options: RigOptions = {}) {
  return startWhole((undo) => startParts(undo, options))
}

async function startParts(undo: (() => Promise<unknown>)[], { more, ...options }: RigOptions) {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-rig-'))
  undo.push(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }))
  const broker = await startOpenBroker()
  undo.push(broker.close)
  const sqld = await startSqld(directory)
  undo.push(() => sqld.program.end())
  const db = await openDatabase(sqld.url)
  undo.push(async () => db.close())
  await migrate(db)
  const proxy = await startDatabaseProxy(sqld.url)
  undo.push(proxy.close)
  const settings = { MURMUR_BROKER_URL: broker.webSocketUrl, MURMUR_BROKER_SITES_URL: broker.tcpUrl, MURMUR_BROKER_USERNAME: 'controller', MURMUR_BROKER_PASSWORD: 'x', ...more }
  const worker = await startWorker({ directory, databaseUrl: proxy.url, settings, ...options })
  undo.push(() => worker.program.end())
  const { secret } = await worker.client.call(contracts.createToken, { body: { name: 'bridge', role: 'ingest' } })
  return { broker, db, proxy, worker, bridge: { url: worker.url, token: secret, ingestSecret: worker.ingestSecret, db } }
}
