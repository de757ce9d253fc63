import { spawn, type ChildProcess } from 'node:child_process'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { brokerConfiguration } from '../../infra/mosquitto/broker-configuration.ts'
import { findPlugin } from '../../infra/mosquitto/find-plugin.ts'
import { firstAccounts } from '../../infra/mosquitto/first-accounts.ts'
import type { FleetId } from '../../protocol/ids.ts'
import { freePort } from './free-port.ts'

/** The controller's user; no site can be called so. */
export const controllerUser = '_controller'

export type Mosquitto = Awaited<ReturnType<typeof startMosquitto>>
const startMs = 10_000

/** What still runs: a test that fails half-way must not leave anything behind. */
const alive = new Set<ChildProcess>()
process.once('exit', () => alive.forEach((child) => child.kill('SIGKILL')))

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
  socket.destroy()
  return open
}

const statOrNull = (path: string) => stat(path).catch(() => null)

/**
 * A real mosquitto on free ports of the loopback, set up as `infra/mosquitto` does: the controller (`controllerUser` with
 * `controllerPassword`) admits the sites through the dynamic-security plugin. Its files are in `directory/mosquitto`;
 * `persistence` makes it remember sessions and retained messages through `restart()` and `end('SIGKILL')`; `configuration` is appended.
 */
export async function startMosquitto(options: { fleet: FleetId; controllerPassword: string; directory: string; webSocket?: boolean; persistence?: boolean; configuration?: readonly string[] }) {
  const { fleet, controllerPassword, webSocket = false, persistence = false } = options
  const directory = join(options.directory, 'mosquitto')
  await mkdir(directory, { recursive: true })
  const [tcpPort, webSocketPort] = [await freePort(), await freePort()]
  const plugin = findPlugin()
  if (plugin === null) throw new Error("mosquitto's dynamic-security plugin is missing; Debian ships it with mosquitto")
  const accounts = join(directory, 'dynamic-security.json')
  await writeFile(accounts, firstAccounts(fleet, { username: controllerUser, password: controllerPassword }), { mode: 0o600 })
  const listeners = [{ at: `${tcpPort} 127.0.0.1` }, ...(webSocket ? [{ at: `${webSocketPort} 127.0.0.1`, webSocket }] : [])]
  const text = brokerConfiguration({ listeners, plugin, accounts, persistence: persistence ? directory : null })
  await writeFile(join(directory, 'mosquitto.conf'), [text, ...(process.getuid?.() === 0 ? ['user root'] : []), 'log_dest stderr', 'log_type error', 'log_type warning', ...(options.configuration ?? []), ''].join('\n'))
  let child: ChildProcess | null = null

  const program = {
    name: 'mosquitto',
    output: '',
    /** Starts it and resolves once it listens. */
    async start(): Promise<void> {
      const started = spawn('mosquitto', ['-c', join(directory, 'mosquitto.conf')], { env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` }, stdio: ['ignore', 'ignore', 'pipe'] })
      child = started
      alive.add(started)
      started.once('exit', () => alive.delete(started))
      started.stderr.on('data', (data: Buffer) => (program.output = (program.output + data.toString()).slice(-40_000)))
      for (const endMs = Date.now() + startMs; !(await answers(tcpPort)) || (webSocket && !(await answers(webSocketPort))); ) {
        if (started.exitCode !== null || Date.now() > endMs) throw new Error(`mosquitto does not listen\n${program.output}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    /** Makes it write down what it remembers, as it does by itself once a minute. */
    async save(): Promise<void> {
      const file = join(directory, 'mosquitto.db')
      const before = await statOrNull(file)
      child?.kill('SIGUSR1')
      for (const endMs = Date.now() + startMs; (await statOrNull(file))?.ino === before?.ino && Date.now() < endMs; ) await new Promise((resolve) => setTimeout(resolve, 20))
    },
    /** Ends it and waits until it is gone. */
    async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
      const ending = child
      child = null
      if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return
      const gone = new Promise((resolve) => ending.once('exit', resolve))
      ending.kill(signal)
      await gone
    },
  }
  await program.start()

  return {
    tcpUrl: `mqtt://127.0.0.1:${tcpPort}`,
    webSocketUrl: `ws://127.0.0.1:${webSocketPort}`,
    program,
    async restart(signal: 'SIGKILL' | 'SIGTERM' = 'SIGTERM'): Promise<void> {
      await program.end(signal)
      await program.start()
    },
    async stop(): Promise<void> {
      await program.end()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
