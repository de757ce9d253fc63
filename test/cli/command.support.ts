import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPrivateKey } from 'node:crypto'
import { serve, type ServerType } from '@hono/node-server'
import { runMurmur } from '../../cli/main.ts'
import type { Io } from '../../cli/io.ts'
import { createApp } from '../../functions/http/app.ts'
import { createObjectRoute } from '../../functions/http/object-route.ts'
import { confirmReleases } from '../../functions/release/confirm-all.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import type { Role } from '../../protocol/states.ts'
import { startController, type Controller } from '../support/controller.ts'

export type Ended = { code: number; out: string; err: string }
export type TestIo = Io & { written: { out: string; err: string } }

/** An Io that writes into memory, and whose sleeps take no time. */
export function testIo(directory: string, more: Partial<Io> = {}): TestIo {
  const written = { out: '', err: '' }
  let nowMs = Date.UTC(2026, 5, 1, 12)
  return {
    written, directory, env: {}, terminal: () => null, fetch: globalThis.fetch, nowMs: () => nowMs,
    out: (text) => void (written.out += text),
    err: (text) => void (written.err += text),
    sleep: async (spanMs) => void (nowMs += spanMs),
    input: async () => '',
    ask: async () => null,
    ...more,
  }
}

/** Runs one command line without any controller. */
export async function murmurAlone(args: string[], io: TestIo): Promise<Ended> {
  const code = await runMurmur(args, io)
  return { code, ...io.written }
}

export type Asked = { route: string; query: Record<string, string>; body: unknown }

/** A controller that answers each route, such as `GET /v1/alarms`, with a made-up value or with what a function makes of the request. */
export function madeUpController(routes: Record<string, unknown>): { fetch: typeof fetch; asked: Asked[] } {
  const asked: Asked[] = []
  return {
    asked,
    fetch: async (input, init) => {
      const request = new Request(input, init)
      const { pathname, searchParams } = new URL(request.url)
      const text = await request.text()
      const one: Asked = { route: `${request.method} ${pathname}`, query: Object.fromEntries(searchParams), body: text === '' ? null : JSON.parse(text) }
      asked.push(one)
      const answer = routes[one.route]
      if (answer === undefined) throw new Error(`nobody made up an answer to ${one.route}`)
      const value: unknown = typeof answer === 'function' ? (answer as (asked: Asked) => unknown)(one) : answer
      return value === null ? new Response(null, { status: 204 }) : new Response(JSON.stringify(value))
    },
  }
}

export type Bench = Awaited<ReturnType<typeof startBench>>

/**
 * A whole controller behind a real HTTP server on the loopback, a directory for keys and files, and the command. Each
 * time the command sleeps, the controller's confirming job runs.
 */
export async function startBench() {
  const controller: Controller = await startController()
  const app = createApp(controller.deps)
  app.route('/', createObjectRoute({ store: controller.store, secret: new Uint8Array(32).fill(7), clock: controller.clock, crypto: nodeCrypto }))
  const server = await new Promise<ServerType>((resolve) => {
    const started: ServerType = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(started))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const directory = await mkdtemp(join(tmpdir(), 'murmur-cli-'))
  const keyPath = join(directory, 'publisher.key')
  const pem = createPrivateKey({ key: Buffer.from(controller.keys.publisher.privateKey), format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' })
  await writeFile(keyPath, pem, { mode: 0o600 })
  /** The store signs for a host of its own, which is the same server here. */
  const reach: typeof fetch = (input, init) => fetch(String(input).replace('http://store.test', url), init)
  return {
    controller, url, directory, keyPath, reach,
    async murmur(args: string[], options: { as?: Role; fetch?: typeof fetch; env?: Record<string, string> } & Partial<Io> = {}): Promise<Ended> {
      const { as = 'admin', ...more } = options
      const io = testIo(directory, { fetch: reach, sleep: async () => void (await confirmReleases(controller.context())), ...more })
      return murmurAlone(['--url', url, '--token', controller.tokens[as], ...args], io)
    },
    async close() {
      if ('closeAllConnections' in server) server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await controller.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
