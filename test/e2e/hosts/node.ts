import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from '../../../cli/client.ts'
import { nodeCrypto } from '../../../functions/adapters/node/node-crypto.ts'
import { openNodeKeys } from '../../../functions/platform/node-keys.ts'
import { toBase64 } from '../../../protocol/bytes.ts'
import { contracts } from '../../../protocol/http/contracts.ts'
import { makeKey, signTrust } from '../../support/controller.ts'
import { freePort } from '../../support/free-port.ts'
import { Program, sleep, until } from '../../support/program.ts'
import { controllerUser } from '../../support/start-mosquitto.ts'
import type { Host, HostOptions } from './host.ts'

const entry = join(import.meta.dirname, '../../../functions/entry/node.ts')

/** The controller as one Node process, its data in `directory/data`. */
export async function startNodeHost({ directory, fleet, broker, brokerPassword, settings = {} }: HostOptions): Promise<Host> {
  const data = join(directory, 'data')
  await mkdir(data, { mode: 0o700 })
  const keys = await openNodeKeys(nodeCrypto, data)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const program = new Program('controller', process.execPath, [entry], {
    MURMUR_FLEET: fleet, MURMUR_DATA: data, PORT: String(port), MURMUR_BROKER_URL: broker.tcpUrl, MURMUR_BROKER_REGISTRAR: 'mosquitto',
    MURMUR_BROKER_USERNAME: controllerUser, MURMUR_BROKER_PASSWORD: brokerPassword, ...settings,
  })
  const start = async (): Promise<void> => {
    program.start()
    await until('the controller answers', async () => (await fetch(`${url}/readyz`)).ok, [program, broker.program])
  }
  try {
    await start()
    const client = createClient({ url, token: (await readFile(join(data, 'admin-token'), 'utf8')).trim(), sleep })
    const [root, publisher] = [await makeKey('root'), await makeKey('publisher')]
    const fleetKey = { keyid: keys.fleet.keyid, publicKey: toBase64(keys.fleet.publicKey), name: 'fleet' }
    await client.call(contracts.putTrust, { body: await signTrust(root, { publisherKeys: [publisher.trusted], fleetKeys: [fleetKey] }) })
    return { name: 'node', url, client, publisher, programs: [program], start, kill: () => program.end(), stop: () => program.end() }
  } catch (error) {
    await program.end()
    throw error
  }
}
