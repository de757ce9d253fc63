import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'

const path = `${process.env.PATH ?? ''}:/usr/sbin`
const startMs = 5000

export const hasMosquitto = (): boolean => spawnSync('mosquitto', ['-h'], { env: { ...process.env, PATH: path } }).error === undefined

/** A mosquitto of its own, on a port of its own, that lets everybody in and drops nothing. */
export async function startMosquitto(): Promise<{ url: string; stop(): Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-bench-'))
  const port = await freePort()
  const file = join(directory, 'mosquitto.conf')
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\nlog_type error\n`)
  const child = spawn('mosquitto', ['-c', file], { env: { ...process.env, PATH: path }, stdio: ['ignore', 'inherit', 'inherit'] })
  const ended = once(child, 'exit')
  await reachable(port)
  return {
    url: `mqtt://127.0.0.1:${port}`,
    async stop() {
      child.kill()
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function reachable(port: number): Promise<void> {
  for (const endMs = Date.now() + startMs; ; ) {
    const socket = connect(port, '127.0.0.1')
    const answered = await new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
    socket.destroy()
    if (answered) return
    if (Date.now() > endMs) throw new Error('mosquitto does not listen')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
