import { randomBytes } from 'node:crypto'
import { access, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FleetId, SiteId } from '../../protocol/ids.ts'
import { brokerConfiguration, type Listener } from './broker-configuration.ts'
import { findPlugin } from './find-plugin.ts'
import { firstAccounts, type SiteAccount } from './first-accounts.ts'
import { readEnrolledSites } from './read-enrolled-sites.ts'

const help = `node infra/launch.mjs infra/mosquitto/main.ts --fleet NAME --out DIR [options]

Writes what a mosquitto 2 needs to serve a fleet whose sites the controller admits through the dynamic-security plugin:
  DIR/mosquitto.conf           written anew each time
  DIR/dynamic-security.json    the controller's account; written once, because mosquitto keeps it from then on
  DIR/controller-password      likewise: what MURMUR_BROKER_PASSWORD of the controller and of bridges is to be

Options
  --listener "PORT [ADDRESS]"     where sites connect (1883, or 8883 with --certificate)
  --web-socket "PORT [ADDRESS]"   a second listener for MQTT over WebSocket: what a controller on Workers needs
  --certificate FILE --key FILE   TLS on both: the server's chain and its key, in PEM
  --user NAME                     the controller's user (_controller)
  --state DIR                     where mosquitto keeps sessions and retained messages (/var/lib/mosquitto)
  --plugin FILE                   mosquitto_dynamic_security.so, where it is not found by itself
  --installed DIR                 where the files will lie on the broker's machine (DIR of --out)

Of a controller that has sites already, these become accounts at once, so that their agents get in:
  --data DIR                      its data directory
  --database URL                  its database, where that is elsewhere; MURMUR_DATABASE_TOKEN is its token
  --ingest-secret-file FILE       its ingest secret in base64, where that is not in the data directory (Workers)
`

const text = { type: 'string' } as const
const options = { 'fleet': text, 'out': text, 'listener': text, 'web-socket': text, 'certificate': text, 'key': text, 'user': text, 'state': text, 'plugin': text, 'installed': text, 'data': text, 'database': text, 'ingest-secret-file': text, 'help': { type: 'boolean' } } as const

class Misuse extends Error {}

async function main(): Promise<void> {
  const { values } = parseArgs({ options })
  if (values.help === true) return void process.stdout.write(help)
  const { certificate, key, user = '_controller', state = '/var/lib/mosquitto' } = values
  const fleet = FleetId.safeParse(values.fleet)
  const plugin = values.plugin ?? findPlugin()
  const faults = [
    ...(fleet.success ? [] : [`--fleet: ${values.fleet === undefined ? 'is missing' : fleet.error.issues[0]!.message}`]),
    ...(values.out === undefined ? ['--out: is missing'] : []),
    ...((certificate === undefined) === (key === undefined) ? [] : ['--certificate, --key: one is given without the other']),
    ...(SiteId.safeParse(user).success ? [`--user: a site could be called ${user}; choose a name with another character, such as _controller`] : []),
    ...(plugin === null ? ["--plugin: mosquitto's dynamic-security plugin was not found; install mosquitto here, or name the file as it is on the broker's machine"] : []),
  ]
  if (!fleet.success || faults.length > 0) throw new Misuse(faults.join('\n'))
  const out = resolve(values.out!)
  const installed = values.installed ?? out
  const tls = certificate === undefined ? {} : { tls: { certificate, key: key! } }
  const listeners: Listener[] = [{ at: values.listener ?? (certificate === undefined ? '1883' : '8883'), ...tls }]
  if (values['web-socket'] !== undefined) listeners.push({ at: values['web-socket'], webSocket: true, ...tls })

  await mkdir(out, { recursive: true, mode: 0o700 })
  const [accountsFile, passwordFile] = [join(out, 'dynamic-security.json'), join(out, 'controller-password')]
  // the password first: a run that ends between the two is gone on with by the next
  if ((await isThere(accountsFile)) && !(await isThere(passwordFile))) throw new Misuse(`${passwordFile}: is missing, and ${accountsFile} holds only its hash; put it back, or set a new one with mosquitto_ctrl`)
  const password = await readOrMake(passwordFile, () => `${randomBytes(32).toString('hex')}\n`)
  const accounts = await readOrMake(accountsFile, async () => firstAccounts(fleet.data, { username: user, password: password.trim() }, await sitesOf(fleet.data, values)))
  if (!accounts.includes(JSON.stringify(user))) throw new Misuse(`${accountsFile}: is there already, and has no user ${user}`)
  await replace(join(out, 'mosquitto.conf'), brokerConfiguration({ listeners, plugin: plugin!, accounts: join(installed, 'dynamic-security.json'), persistence: state }))
  process.stdout.write(`${out}: mosquitto.conf, dynamic-security.json, controller-password. The first two must belong to mosquitto's user, who must be able to write dynamic-security.json and its directory.\n`)
}

async function sitesOf(fleet: FleetId, values: { 'data'?: string; 'database'?: string; 'ingest-secret-file'?: string }): Promise<SiteAccount[]> {
  const { data, database, 'ingest-secret-file': ingestSecretFile } = values
  return data === undefined && database === undefined ? [] : readEnrolledSites(fleet, { data, database, ingestSecretFile, databaseToken: process.env['MURMUR_DATABASE_TOKEN'] })
}

/** The content of the file, which is made when it is missing. */
async function readOrMake(path: string, make: () => string | Promise<string>): Promise<string> {
  if (!(await isThere(path))) await replace(path, await make())
  return readFile(path, 'utf8')
}

const isThere = (path: string): Promise<boolean> => access(path).then(() => true, () => false)

/** Mosquitto may read at any moment: it gets the old file or the new one. */
async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

main().catch((error: unknown) => {
  process.stderr.write(error instanceof Misuse || (error instanceof Error && 'code' in error) ? `${error.message}\n\n${help}` : `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(2)
})
