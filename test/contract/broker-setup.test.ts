import { execFile } from 'node:child_process'
import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { nodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import { brokerCredentials } from '../../functions/adapters/broker-password.ts'
import { createMqttBroker } from '../../functions/adapters/mqtt/mqtt-broker.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { utf8 } from '../../protocol/bytes.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { freePort } from '../support/free-port.ts'
import { addSites } from '../support/practice-fleet.ts'
import { needs } from '../support/needs.ts'
import { Program, until } from '../support/program.ts'
import { fleet } from './broker.cases.ts'

const { test } = needs('mosquitto')
const main = join(import.meta.dirname, '../../infra/mosquitto/main.ts')
const setUp = (...args: string[]): Promise<{ stdout: string; stderr: string }> => promisify(execFile)(process.execPath, [main, ...args])
const log = { write: () => undefined }

async function makeDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-setup-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => (socket.destroy(), resolve(true))).once('error', () => resolve(false))
  })

/** Mosquitto with the files of a set-up, as they are. */
async function startMosquittoOf(directory: string, ports: readonly number[]): Promise<void> {
  if (process.getuid?.() === 0) await appendFile(join(directory, 'mosquitto.conf'), 'user root\n')
  const mosquitto = new Program('mosquitto', '/usr/bin/env', ['PATH=/usr/sbin:/usr/local/sbin:/usr/bin:/bin', 'mosquitto', '-c', join(directory, 'mosquitto.conf')])
  onTestFinished(() => mosquitto.end())
  mosquitto.start()
  await until('mosquitto answers', async () => (await Promise.all(ports.map(answers))).every(Boolean), [mosquitto])
}

test('what infra/mosquitto writes is all a mosquitto needs for a controller to let sites in, over TCP and over WebSocket', async () => {
  const directory = await makeDirectory()
  const [port, webSocketPort] = [await freePort(), await freePort()]
  const args = ['--fleet', fleet, '--out', directory, '--listener', `${port} 127.0.0.1`, '--web-socket', `${webSocketPort} 127.0.0.1`, '--state', directory]
  await setUp(...args)
  for (const file of ['controller-password', 'dynamic-security.json', 'mosquitto.conf']) expect((await stat(join(directory, file))).mode & 0o077).toBe(0)
  const password = (await readFile(join(directory, 'controller-password'), 'utf8')).trim()
  expect(await readFile(join(directory, 'dynamic-security.json'), 'utf8')).not.toContain(password)
  await startMosquittoOf(directory, [port, webSocketPort])
  const sitesUrl = `mqtt://127.0.0.1:${port}`
  for (const [url, site] of [[sitesUrl, 'north'], [`ws://127.0.0.1:${webSocketPort}`, 'south']] as const) {
    const broker = createMqttBroker({ url, sitesUrl, username: '_controller', password, fleet, ingestSecret: new Uint8Array(32), crypto: nodeCrypto, ids: sortableIds, log, perCall: url !== sitesUrl, registrar: 'mosquitto' })
    onTestFinished(() => broker.close())
    const connection = await nodeMqtt({ ...(await broker.admit(site, 1)), keepAliveS: 30, will: { topic: `murmur/v1/${fleet}/sites/${site}/presence`, payload: utf8('gone') } })
    await connection.subscribe([`murmur/v1/${fleet}/sites/${site}/grant`])
    await connection.close()
  }

  // again: the accounts are mosquitto's by now, and stay
  const held = await readFile(join(directory, 'dynamic-security.json'), 'utf8')
  expect(held).toContain('site:north')
  await setUp(...args)
  expect(await readFile(join(directory, 'dynamic-security.json'), 'utf8')).toBe(held)
  expect((await readFile(join(directory, 'controller-password'), 'utf8')).trim()).toBe(password)
})

test('the sites of a controller that has some get in with what their agents hold already', async () => {
  const directory = await makeDirectory()
  const data = join(directory, 'data')
  const port = await freePort()
  const keys = await openNodeKeys(nodeCrypto, data)
  const db = await openDatabase(pathToFileURL(join(data, 'controller.db')).href)
  await migrate(db)
  await addSites(db, [{ id: 'north' }, { id: 'gone' }])
  await db.write([{ sql: "UPDATE site SET incarnation = 3 WHERE id = 'north'", args: [] }, { sql: "UPDATE site SET state = 'removed' WHERE id = 'gone'", args: [] }])
  db.close()
  await setUp('--fleet', fleet, '--out', directory, '--data', data, '--listener', `${port} 127.0.0.1`, '--state', directory)
  await expect(setUp('--fleet', fleet, '--out', join(directory, 'other'), '--data', join(directory, 'nowhere'))).rejects.toMatchObject({ stderr: expect.stringContaining('nowhere/keys/ingest-secret') })
  await startMosquittoOf(directory, [port])
  const enter = async (site: string, incarnation: number): Promise<void> => {
    const credentials = await brokerCredentials(nodeCrypto, keys.ingestSecret(), fleet, site as SiteId, incarnation, `mqtt://127.0.0.1:${port}`)
    const connection = await nodeMqtt({ ...credentials, keepAliveS: 30, will: { topic: `murmur/v1/${fleet}/sites/${site}/presence`, payload: utf8('gone') } })
    await connection.subscribe([`murmur/v1/${fleet}/sites/${site}/grant`]).finally(() => connection.close())
  }
  await enter('north', 3)
  await expect(enter('north', 2)).rejects.toThrow()
  await expect(enter('gone', 1)).rejects.toThrow()
})

test('a set-up that cannot be right is refused with everything that is wrong, and writes nothing', async () => {
  const directory = await makeDirectory()
  const refusal = await setUp('--out', join(directory, 'none'), '--user', 'controller', '--key', 'key.pem').then(() => '', (error: { stderr: string }) => error.stderr)
  for (const fault of ['--fleet: is missing', '--certificate, --key: one is given without the other', '--user: a site could be called controller']) expect(refusal).toContain(fault)
  await expect(stat(join(directory, 'none'))).rejects.toThrow()
  await setUp('--fleet', fleet, '--out', directory)
  await rm(join(directory, 'controller-password'))
  await expect(setUp('--fleet', fleet, '--out', directory)).rejects.toMatchObject({ stderr: expect.stringContaining('controller-password: is missing') })
})
