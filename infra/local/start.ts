import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CliError } from '../../cli/cli-error.ts'
import { processIo, type Io } from '../../cli/io.ts'
import { parseReleaseFile, type ReleaseFile } from '../../cli/publish/release-file.ts'
import { makePrivateDirectory } from '../../functions/platform/secret-file.ts'
import { stopOnSignals } from '../../functions/platform/stop-on-signals.ts'
import { startPracticeController, type PracticeController } from './controller.ts'
import { startFleet } from './fleet.ts'
import { lockData } from './lock-data.ts'
import { readOptions, startHelp, UsageError, type StartOptions } from './options.ts'
import { planFleet, type PracticeSite } from './plan-fleet.ts'
import { openFault } from './play-fault.ts'
import { prepareMonitoring, subscribeReceiver } from './prepare-monitoring.ts'
import { openRefusal, playScenario, type Played, type Scenario } from './scenario.ts'
import { verifyFleet } from './verify-fleet.ts'
import { createView } from './view.ts'
import { watchOffline } from './watch-offline.ts'
import { startWebhookReceiver } from './webhook-receiver.ts'

const examples = join(import.meta.dirname, '..', '..', 'examples')

type View = ReturnType<typeof createView>
/** Undoes what was started, the last first. */
type Undo = (() => Promise<void>)[]

async function readRelease(path: string): Promise<ReleaseFile> {
  return parseReleaseFile(await readFile(path, 'utf8'), path)
}

async function readScenario(): Promise<Scenario> {
  const [first, second] = await Promise.all(['sign-1.0.0', 'sign-1.1.0'].map((name) => readRelease(join(examples, name, 'release.yaml'))))
  return { first: first!, second: second!, markerPath: 'etc/murmur-practice/refuse-1.1.0' }
}

/** The fleet, and both releases taken to it. */
async function practise(options: StartOptions, controller: PracticeController, io: Io, view: View, undo: Undo): Promise<{ sites: PracticeSite[]; refusing: PracticeSite | null; scenario: Scenario; played: Played; faults: string[] }> {
  const sites = planFleet({ ...options, directory: join(options.data, 'fleet') })
  const scenario = await readScenario()
  await prepareMonitoring(controller.client)
  const fault = await openFault(controller.client, options.data, sites, view.fault())
  const refusing = await openRefusal(options.data, sites, scenario)
  const fleet = await startFleet(controller, sites, { logPath: join(options.data, 'agents.log'), onReady: view.agents })
  undo.push(fleet.stop)
  const receiver = await startWebhookReceiver(view.webhook)
  undo.push(receiver.stop)
  await subscribeReceiver(controller.client, receiver)
  const offline = await watchOffline(offlineDirectory(options), fleet)
  undo.push(offline.stop)
  const played = await playScenario({ client: controller.client, io, key: controller.keys.publisher, sites, scenario, fault, tell: view.telling() })
  const faults = await verifyFleet(controller.client, sites, scenario)
  view.verified(faults, sites.length)
  return { sites, refusing, scenario, played, faults }
}

const offlineDirectory = (options: StartOptions): string => join(options.data, 'offline')

/** Starts everything that is asked for. Returns the exit status, or null when it is to stay up. */
async function start(options: StartOptions, io: Io, undo: Undo): Promise<number | null> {
  const view = createView(io)
  await makePrivateDirectory(options.data)
  undo.push(await lockData(options.data))
  if (options.fresh) await forget(options.data)
  const controller = await startPracticeController({ ...options, environment: process.env })
  undo.push(controller.stop)
  view.controllerStarted(controller)
  const practice = options.practiceFleet ? await practise(options, controller, io, view, undo) : null
  if (options.once) return practice === null || practice.faults.length === 0 ? 0 : 1
  view.next(options, controller, offlineDirectory(options), practice)
  return null
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), process.cwd())
  if (options === null) {
    process.stdout.write(startHelp)
    return
  }
  const undo: Undo = []
  const stopping = new AbortController()
  const stop = async (): Promise<void> => {
    stopping.abort()
    for (const step of undo.splice(0).reverse()) await step()
  }
  stopOnSignals(stop)
  const io: Io = { ...processIo(), sleep: (spanMs) => sleep(spanMs, undefined, { signal: stopping.signal }) }
  try {
    const status = await start(options, io, undo)
    if (status === null) return
    await stop()
    process.exit(status)
  } catch (error) {
    // what was under way when it was told to stop fails as it must; the signal ends the process
    if (stopping.signal.aborted) return
    await stop()
    throw error
  }
}

/** Only what an earlier start has made is removed, and nothing while one is at work there. */
async function forget(data: string): Promise<void> {
  const made = ['admin-token', 'agents.log', 'broker-port', 'cli.json', 'controller.db', 'controller.db-shm', 'controller.db-wal', 'controller.log', 'fault-played', 'fleet', 'keys', 'objects', 'offline', 'refusing-site', 'trust.json']
  for (const name of made) await rm(join(data, name), { recursive: true, force: true })
}

function explain(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}\n\n${startHelp}`
  if (!(error instanceof Error)) return String(error)
  const details = error instanceof CliError ? error.details.map((line) => `\n  ${line}`).join('') : ''
  return `npm start: ${error.message}${details}${process.env['MURMUR_DEBUG'] === undefined ? '' : `\n${error.stack}`}\n`
}

main().catch((error: unknown) => {
  process.stderr.write(explain(error))
  process.exit(error instanceof UsageError ? 2 : 1)
})
