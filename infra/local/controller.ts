import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeFile } from 'node:fs/promises'
import { createClient, type Client } from '../../cli/client.ts'
import { jsonLog } from '../../functions/adapters/node/json-log.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import type { Environment } from '../../functions/platform/parse-environment.ts'
import { readNodeSettings } from '../../functions/platform/env.ts'
import { makePrivateDirectory, readIfThere } from '../../functions/platform/secret-file.ts'
import { startNode } from '../../functions/platform/start-node.ts'
import { operationContracts } from '../../protocol/http/operations.ts'
import { openPracticeKeys, type PracticeKeys } from './keys.ts'
import { openLogFile } from './log-file.ts'

export type PracticeController = {
  url: string
  brokerPort: number
  client: Client
  token: string
  keys: PracticeKeys
  logPath: string
  stop(): Promise<void>
}

export const practiceFleetName = 'practice'

/**
 * A controller with everything embedded, trusted and ready to be used, on the loopback unless `environment` says otherwise (the
 * settings of functions/platform/env.ts). Port 0 takes a free one.
 */
export async function startPracticeController(options: { data: string; port: number; environment?: Environment }): Promise<PracticeController> {
  const { data, environment = {} } = options
  await makePrivateDirectory(data)
  const fleet = environment['MURMUR_FLEET'] ?? practiceFleetName
  const keys = await openPracticeKeys(nodeCrypto, data, fleet)
  const logPath = join(data, 'controller.log')
  const logFile = openLogFile(logPath)
  const brokerPort = await chooseBrokerPort(join(data, 'broker-port'))
  // the practice's own receiver of webhooks listens on the loopback, where they go in no other case
  const settings = readNodeSettings({ MURMUR_BROKER_PORT: String(brokerPort), MURMUR_WEBHOOK_ALLOW: '127.0.0.0/8', ...environment, MURMUR_FLEET: fleet, MURMUR_DATA: data, PORT: String(options.port) })
  const running = await startNode(settings, jsonLog('info', logFile.print))
  const stop = async (): Promise<void> => {
    await running.stop()
    await logFile.close()
  }
  try {
    if (running.adminToken === null) throw new Error(`${join(data, 'admin-token')} was taken away; start with --fresh, or put the token back`)
    const client = createClient({ url: running.localUrl, token: running.adminToken, sleep: (spanMs) => sleep(spanMs) })
    const { rootFingerprint } = await client.call(operationContracts.putTrust, { body: keys.trust })
    await writeFile(join(data, 'cli.json'), `${JSON.stringify({ url: running.localUrl, token: running.adminToken, rootFingerprint }, null, 2)}\n`, { mode: 0o600 })
    return { url: running.url, brokerPort, client, token: running.adminToken, keys, logPath, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The port of the last start where it is free, so that agents find the broker where they left it; else a free one. */
async function chooseBrokerPort(path: string): Promise<number> {
  const last = Number((await readIfThere(path)) ?? 0)
  const port = (await tryPort(last)) ?? (await tryPort(0))!
  if (port !== last) await writeFile(path, `${port}\n`)
  return port
}

async function tryPort(port: number): Promise<number | null> {
  const server = createServer()
  const bound = await new Promise<boolean>((resolve) => server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)))
  if (!bound) return null
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : null
}
