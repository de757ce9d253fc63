import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openDatabase } from '../../../db/client.ts'
import { migrate } from '../../../db/migrate.ts'
import { contracts } from '../../../protocol/http/contracts.ts'
import { Program, sleep } from '../../support/program.ts'
import { controllerUser } from '../../support/start-mosquitto.ts'
import { startSqld } from '../../support/start-sqld.ts'
import { startWorker } from '../../support/start-worker.ts'
import { startWhole } from '../../support/start-whole.ts'
import type { Host, HostOptions } from './host.ts'

const bridgeProgram = join(import.meta.dirname, '../../../infra/bridge/main.ts')
/** The platform's schedule, sixty times as fast. */
const cronMs = 1000

/** The controller in workerd with a local R2 bucket, a libSQL server, our bridge between broker and Worker, and a cron trigger that fires. */
export async function startWorkerHost(options: HostOptions): Promise<Host> {
  return startWhole((undo) => startParts(options, undo))
}

async function startParts({ fleet, broker, brokerPassword, settings, ...options }: HostOptions, undo: (() => Promise<unknown>)[]): Promise<Omit<Host, 'stop'>> {
  const directory = join(options.directory, 'worker')
  await mkdir(directory)
  const sqld = await startSqld(directory)
  undo.push(() => sqld.program.end())
  const db = await openDatabase(sqld.url)
  await migrate(db)
  db.close()
  const worker = await startWorker({
    directory, databaseUrl: sqld.url,
    settings: {
      MURMUR_FLEET: fleet, MURMUR_BROKER_URL: broker.webSocketUrl, MURMUR_BROKER_SITES_URL: broker.tcpUrl, MURMUR_BROKER_REGISTRAR: 'mosquitto',
      MURMUR_BROKER_USERNAME: controllerUser, MURMUR_BROKER_PASSWORD: brokerPassword, ...settings,
    },
  })
  undo.push(() => worker.program.end())
  const { url, client, publisher, program, start } = worker

  const { secret } = await client.call(contracts.createToken, { body: { name: 'bridge', role: 'ingest' } })
  const bridge = new Program('bridge', process.execPath, [bridgeProgram], {
    MURMUR_CONTROLLER_URL: url, MURMUR_TOKEN: secret, MURMUR_FLEET: fleet, MURMUR_BROKER_URL: broker.tcpUrl, MURMUR_BROKER_USERNAME: controllerUser, MURMUR_BROKER_PASSWORD: brokerPassword,
  })
  bridge.start()
  undo.push(() => bridge.end())
  const schedule = runSchedule(worker.cron)
  undo.push(schedule.stop)
  return { name: 'worker', url, client, publisher, programs: [program, bridge, sqld.program], start, kill: () => program.end() }
}

/** Fires the trigger again and again; a Worker that is away misses its turn. */
function runSchedule(cron: () => Promise<void>): { stop(): Promise<void> } {
  let stopped = false
  const running = (async () => {
    while (!stopped) {
      await cron().catch(() => undefined)
      await sleep(cronMs)
    }
  })()
  return {
    async stop() {
      stopped = true
      await running
    },
  }
}
