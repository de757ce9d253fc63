import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import mqtt from 'mqtt'
import { createClient } from '../../cli/client.ts'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { makePrivateDirectory } from '../../functions/platform/secret-file.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { BootId, SiteId } from '../../protocol/ids.ts'
import { fleet } from '../../test/support/controller.ts'
import { freePort } from '../../test/support/free-port.ts'
import { addSites } from '../../test/support/practice-fleet.ts'
import { Program, sleep, until } from '../../test/support/program.ts'
import { sealedMessage } from '../../test/support/sealed-message.ts'
import { startDripping, startReceiver } from './receiver.ts'

export type FaultLoop = {
  /** Publishes a new alarm of a site; resolves when the broker has it. */
  raise(site: number, entity: string): Promise<unknown>
  arrival(entity: string): Promise<number>
  messages(): number
  /** What the controller's process has in memory. */
  residentBytes(): number
  stop(): Promise<void>
}

const entry = join(import.meta.dirname, '../../functions/entry/node.ts')
const siteOf = (i: number): SiteId => `site-${String(i).padStart(4, '0')}` as SiteId

/** The controller as a process of its own, with so many sites, a receiver, and endpoints that are no good. */
export async function startFaultLoop(brokerUrl: string, sites: number, others: readonly ('dead' | 'dripping')[]): Promise<FaultLoop> {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-bench-'))
  const data = join(directory, 'data')
  await makePrivateDirectory(data)
  const keys = await openNodeKeys(nodeCrypto, data)
  const databaseUrl = pathToFileURL(join(data, 'controller.db')).href
  const db = await openDatabase(databaseUrl)
  await migrate(db)
  await addSites(db, Array.from({ length: sites }, (_, i) => ({ id: siteOf(i) })))
  db.close()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const controller = new Program('controller', process.execPath, [entry], {
    MURMUR_FLEET: fleet, MURMUR_DATA: data, PORT: String(port), MURMUR_BROKER_URL: brokerUrl, MURMUR_BROKER_USERNAME: 'bench', MURMUR_BROKER_PASSWORD: 'x', MURMUR_WEBHOOK_ALLOW: '127.0.0.0/8',
  })
  controller.start()
  await until('the controller answers', async () => (await fetch(`${url}/readyz`)).ok, [controller])
  const client = createClient({ url, token: readFileSync(join(data, 'admin-token'), 'utf8').trim(), sleep })
  const receiver = await startReceiver()
  const dripping = await startDripping()
  const urls = { dead: `http://127.0.0.1:${await freePort()}/`, dripping: dripping.url }
  for (const [name, target] of [['receiver', receiver.url], ...others.map((other) => [other, urls[other]] as const)] as const) {
    await client.call(contracts.createWebhook, { body: { name, url: target, filter: { types: ['alarm.*'] } } })
  }
  const publisher = await mqtt.connectAsync(brokerUrl, { protocolVersion: 4, clientId: 'bench-sites' })
  const ingestSecret = keys.ingestSecret()
  let seq = 0
  return {
    arrival: receiver.arrival,
    messages: receiver.messages,
    async raise(site, entity) {
      const body = { kind: 'alarm' as const, alarmId: '100.003', entity, raised: true, severity: 'major' as const, text: 'it is 91 % full (level 85 %)' }
      const { topic, payload } = await sealedMessage(ingestSecret, { v: 1, fleet, site: siteOf(site), incarnation: 1, bootId: '1'.padStart(32, '0') as BootId, seq: ++seq, sentAtMs: Date.now(), body })
      return publisher.publishAsync(topic, payload as Buffer, { qos: 1 })
    },
    residentBytes: () => 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${controller.pid}/status`, 'utf8'))?.[1]),
    async stop() {
      await publisher.endAsync(true)
      await controller.end('SIGTERM')
      await receiver.stop()
      await dripping.stop()
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
