import { readFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { eq } from 'drizzle-orm'
import type { Hono } from 'hono'
import { openDatabase, type Database } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { site } from '../../db/schema/fleet.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { createReportSink } from './report-sink.ts'
import { createAwsBroker } from '../adapters/aws/aws-broker.ts'
import type { AwsIotOptions } from '../adapters/aws/options.ts'
import { createRollCall } from '../adapters/aws/roll-call.ts'
import { gunzip } from '../adapters/node/gunzip.ts'
import { createNodeHttpSender } from '../adapters/node/http-sender.ts'
import { nodeCrypto } from '../adapters/node/node-crypto.ts'
import { sortableIds } from '../adapters/node/sortable-ids.ts'
import { systemClock } from '../adapters/node/system-clock.ts'
import type { ReportSink, ReportSubscriber } from '../adapters/mqtt/batch-reports.ts'
import type { Config, Deps } from '../context.ts'
import { createApp } from '../http/app.ts'
import type { Broker } from '../ports/broker.ts'
import type { Keys } from '../ports/keys.ts'
import type { Log } from '../ports/log.ts'
import { awsOptions } from './aws-options.ts'
import type { NodeSettings } from './env.ts'
import { openNodeKeys } from './node-keys.ts'
import { openNodeObjectStore } from './node-object-store.ts'
import { createWorkTracker } from './track-work.ts'

/** Everything the controller needs from one Node process. */
export type NodePlatform = { deps: Deps; app: Hono; subscriber: ReportSubscriber; close(): Promise<void> }

type BrokerSide = { broker: Broker; createSubscriber(sink: ReportSink): ReportSubscriber; close(): Promise<void> }

const lastWorkMs = 10_000

/** Opens the database (and brings it up to date), the store, the broker and the keys that the settings name. */
export async function openNodePlatform(settings: NodeSettings, config: Config, log: Log): Promise<NodePlatform> {
  const data = settings.MURMUR_DATA
  const keys = await openNodeKeys(nodeCrypto, data)
  const db = await openDatabase(settings.MURMUR_DATABASE_URL ?? pathToFileURL(join(data, 'controller.db')).href, settings.MURMUR_DATABASE_TOKEN)
  const applied = await migrate(db)
  if (applied.length > 0) log.write('info', 'database.migrated', { applied })
  const signing = { baseUrl: config.publicUrl, secret: keys.objectSecret, clock: systemClock, crypto: nodeCrypto }
  const { store, route } = openNodeObjectStore(settings, signing)
  const brokerSide = await openBroker(settings, keys, db, log)
  const work = createWorkTracker(log)
  const http = createNodeHttpSender({ allowed: settings.MURMUR_WEBHOOK_ALLOW })
  const deps: Deps = { db, store, broker: brokerSide.broker, http, clock: systemClock, ids: sortableIds, keys, crypto: nodeCrypto, gunzip, log, config, background: work.background }
  const app = createApp(deps)
  if (route !== null) app.route('/', route)
  app.get('/', async (c) => c.html(await readFile(join(import.meta.dirname, '../../console/index.html'), 'utf8')))
  return {
    deps, app,
    subscriber: brokerSide.createSubscriber(createReportSink(deps)),
    async close() {
      await work.settled(lastWorkMs)
      await brokerSide.close()
      db.close()
    },
  }
}

/** The broker that the settings name; the libraries of the others are not loaded. */
async function openBroker(settings: NodeSettings, keys: Keys, db: Database, log: Log): Promise<BrokerSide> {
  const aws = awsOptions(settings, log)
  if (aws !== null) return openAwsBroker(aws)
  return settings.MURMUR_BROKER_URL === undefined ? openEmbeddedBroker(settings, keys, db, log) : openExternalBroker(settings, settings.MURMUR_BROKER_URL, keys, log)
}

function openAwsBroker(options: AwsIotOptions): BrokerSide {
  const broker = createAwsBroker(options)
  return { broker, createSubscriber: () => createRollCall({ ...options, broker }), close: async () => undefined }
}

async function openEmbeddedBroker(settings: NodeSettings, keys: Keys, db: Database, log: Log): Promise<BrokerSide> {
  const { createEmbeddedBroker } = await import('../adapters/node/embedded-broker.ts')
  const broker = await createEmbeddedBroker({
    fleet: settings.MURMUR_FLEET, ingestSecret: keys.ingestSecret(), crypto: nodeCrypto, log, host: settings.MURMUR_BROKER_HOST, port: settings.MURMUR_BROKER_PORT,
    sitesUrl: settings.MURMUR_BROKER_SITES_URL ?? null,
    incarnationOf: (id) => incarnationOf(db, id),
  })
  return { broker, createSubscriber: broker.createSubscriber, close: broker.close }
}

async function openExternalBroker(settings: NodeSettings, url: string, keys: Keys, log: Log): Promise<BrokerSide> {
  const [{ createMqttBroker }, { createMqttSubscriber }] = await Promise.all([import('../adapters/mqtt/mqtt-broker.ts'), import('../adapters/mqtt/subscriber.ts')])
  const access = { url, username: settings.MURMUR_BROKER_USERNAME, password: settings.MURMUR_BROKER_PASSWORD }
  const fleet = settings.MURMUR_FLEET
  const broker = createMqttBroker({ ...access, fleet, ingestSecret: keys.ingestSecret(), crypto: nodeCrypto, ids: sortableIds, log, sitesUrl: settings.MURMUR_BROKER_SITES_URL ?? url, registrar: settings.MURMUR_BROKER_REGISTRAR })
  return { broker, createSubscriber: (sink) => createMqttSubscriber({ ...access, fleet, clientId: `${fleet}-controller-reports`, sink, log }), close: broker.close }
}

/** Only an enrolled site's newest agent gets in. */
async function incarnationOf(db: Database, id: SiteId): Promise<number | null> {
  const [row] = await db.orm.select({ state: site.state, incarnation: site.incarnation }).from(site).where(eq(site.id, id))
  return row?.state === 'enrolled' ? row.incarnation : null
}
