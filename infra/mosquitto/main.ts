import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { openDatabase } from '../../db/client.ts'
import { brokerPassword } from '../../functions/adapters/broker-password.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { FleetId, type SiteId } from '../../protocol/ids.ts'
import { mosquittoAcl, mosquittoConfiguration, mosquittoPasswords } from './configuration.ts'

const help = `node infra/launch.mjs infra/mosquitto/main.ts --fleet NAME --controller-password-file FILE --out DIR [--data .murmur] [--database URL] [--user controller] [--listener 1883]

Writes mosquitto.conf, acl and passwords for a mosquitto that serves the fleet of the controller on this machine: an
account for the controller, and one for each enrolled site. Run it again after enrolments (mosquitto reads its files anew
at SIGHUP); until then a newly enrolled agent keeps trying.
`

async function main(): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { 'fleet': text, 'controller-password-file': text, 'out': text, 'data': text, 'database': text, 'user': text, 'listener': text, 'help': { type: 'boolean' } } })
  const { fleet: name, out, 'controller-password-file': passwordFile, user = 'controller', listener = '1883' } = values
  if (values.help === true || name === undefined || out === undefined || passwordFile === undefined) {
    process.stdout.write(help)
    process.exit(values.help === true ? 0 : 2)
  }
  const fleet = FleetId.parse(name)
  const data = resolve(values.data ?? '.murmur')
  const directory = resolve(out)
  const keys = await openNodeKeys(nodeCrypto, data)
  const db = await openDatabase(values.database ?? pathToFileURL(join(data, 'controller.db')).href)
  const [sites] = await db.write([{ sql: "SELECT id, incarnation FROM site WHERE state = 'enrolled' ORDER BY id", args: [] }])
  db.close()
  const accounts: [string, string][] = [[user, (await readFile(passwordFile, 'utf8')).trim()]]
  for (const { id, incarnation } of sites!.rows) accounts.push([String(id), await brokerPassword(nodeCrypto, keys.ingestSecret(), fleet, id as SiteId, Number(incarnation))])
  await mkdir(directory, { recursive: true })
  await replace(join(directory, 'passwords'), mosquittoPasswords(accounts))
  await replace(join(directory, 'acl'), mosquittoAcl(fleet, user))
  await replace(join(directory, 'mosquitto.conf'), mosquittoConfiguration({ listener, directory, persistence: true }))
  process.stdout.write(`${directory}: ${accounts.length - 1} sites and ${user}. The files must belong to mosquitto's user; then reload mosquitto.\n`)
}

/** Mosquitto may read at any moment: it gets the old file or the new one. */
async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

await main()
