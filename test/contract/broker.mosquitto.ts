import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createMqttBroker } from '../../functions/adapters/mqtt/mqtt-broker.ts'
import type { BrokerAccess } from '../../functions/adapters/mqtt/open-connection.ts'
import { createMqttSubscriber } from '../../functions/adapters/mqtt/subscriber.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { mosquittoAcl, mosquittoConfiguration, mosquittoPasswords } from '../../infra/mosquitto/configuration.ts'
import { freePort } from '../support/free-port.ts'
import { fleet, type BrokerUnderTest } from './broker.cases.ts'

const controller = { username: 'controller', password: 'the controller itself' }
const log = { write: () => undefined }

/** Where mosquitto is, or null. Debian keeps it in a directory that is not in everybody's PATH. */
export function findMosquitto(): string | null {
  for (const directory of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']) {
    try {
      accessSync(join(directory, 'mosquitto'), constants.X_OK)
      return join(directory, 'mosquitto')
    } catch {
      continue
    }
  }
  return null
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
  socket.destroy()
  return open
}

/** A real mosquitto on a free port of the loopback, configured with the files an operator would give it. */
export async function makeMosquitto(program: string, options: { perCall: boolean }): Promise<BrokerUnderTest & { access: BrokerAccess }> {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-mosquitto-'))
  const port = await freePort()
  const users = new Map([[controller.username, controller.password]])
  let child: ChildProcess | null = null
  const writePasswords = async (): Promise<void> => writeFile(join(directory, 'passwords'), mosquittoPasswords(users), { mode: 0o600 })
  await writeFile(join(directory, 'acl'), mosquittoAcl(fleet, controller.username), { mode: 0o600 })
  await writeFile(join(directory, 'mosquitto.conf'), `user root\nlog_dest none\n${mosquittoConfiguration({ listener: `${port} 127.0.0.1`, directory, persistence: false })}`)

  async function start(): Promise<void> {
    await writePasswords()
    child = spawn(program, ['-c', join(directory, 'mosquitto.conf')], { stdio: 'ignore' })
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`mosquitto ended with ${child.exitCode}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  async function stop(): Promise<void> {
    const ended = new Promise((resolve) => child!.once('exit', resolve))
    child!.kill()
    await ended
  }
  /** Mosquitto reads its files again at SIGHUP, a moment later. */
  async function reload(): Promise<void> {
    await writePasswords()
    child!.kill('SIGHUP')
    await new Promise((resolve) => setTimeout(resolve, 150))
  }

  await start()
  const url = `mqtt://127.0.0.1:${port}`
  const broker = createMqttBroker({ ...controller, url, sitesUrl: url, fleet, ingestSecret: new Uint8Array(32).fill(3), crypto: nodeCrypto, ids: sortableIds, log, timeoutMs: 3000, perCall: options.perCall })
  let subscribers = 0
  return {
    access: { ...controller, url },
    broker,
    async admit(site, incarnation) {
      const credentials = await broker.admit(site, incarnation)
      if (users.get(site) !== credentials.password) {
        users.set(site, credentials.password)
        await reload()
      }
      return credentials
    },
    async expel(site) {
      users.delete(site)
      await reload()
    },
    createSubscriber: (sink) => createMqttSubscriber({ ...controller, url, fleet, clientId: `reports-${++subscribers}`, sink, log, reconnectMs: 50 }),
    async restart() {
      await stop()
      await start()
    },
    async dispose() {
      await broker.close()
      await stop()
      await rm(directory, { recursive: true })
    },
  }
}
