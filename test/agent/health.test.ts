import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runCheck, type Checked } from '../../edge-agent/health/run-check.ts'
import { runChecks } from '../../edge-agent/health/run-checks.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { Component, HealthCheck } from '../../protocol/manifest.ts'
import { isRunning } from '../support/is-running.ts'

let directory: string
let checked: Checked
const servers: Server[] = []
const signal = new AbortController().signal

beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/murmuration-health-`)
  await mkdir(`${directory}/root/etc`, { recursive: true })
  await mkdir(`${directory}/tree`)
  const node = { name: 'n1' as NodeName, personality: 'worker' as const, root: `${directory}/root`, hasAgent: true }
  checked = { node, component: 'app', tree: { path: `${directory}/tree`, digest: '0'.repeat(64) } }
})
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  await rm(directory, { recursive: true, force: true })
})

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const check = (fields: object): HealthCheck => HealthCheck.parse({ name: 'c', retries: 0, interval: 1, timeout: 2000, ...fields })
const detailOf = async (fields: object): Promise<string | null> => (await runCheck(nodeHost, checked, check(fields), signal))?.detail ?? null

describe('http checks', () => {
  test('pass on an expected status and text, fail on others with what was found', async () => {
    const port = await serve((request, response) => void response.writeHead(request.url === '/ok' ? 200 : 503).end('all is well'))
    const url = `http://127.0.0.1:${port}`
    expect(await detailOf({ type: 'http', url: `${url}/ok` })).toBeNull()
    expect(await detailOf({ type: 'http', url: `${url}/ok`, bodyContains: 'is well' })).toBeNull()
    expect(await detailOf({ type: 'http', url: `${url}/ok`, bodyContains: 'is bad' })).toContain('does not contain')
    expect(await detailOf({ type: 'http', url: `${url}/no` })).toContain('status 503')
    expect(await detailOf({ type: 'http', url: `${url}/no`, status: [200, 503] })).toBeNull()
  })

  test('an endless body is read up to a bound (F7, F20)', async () => {
    const piece = 'x'.repeat(65_536)
    const port = await serve((_, response) => {
      const more = (): void => void (response.destroyed || response.write(piece, more))
      more()
    })
    expect(await detailOf({ type: 'http', url: `http://127.0.0.1:${port}/`, bodyContains: 'never' })).toContain('does not contain')
  })

  test('silence, a dripping body, a redirect and a refused connection all fail within the time given (F8, F33)', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/moved') return void response.writeHead(302, { location: '/ok' }).end()
      if (request.url === '/drip') {
        const timer = setInterval(() => response.write('.'), 20)
        response.on('close', () => clearInterval(timer))
      }
    })
    const url = `http://127.0.0.1:${port}`
    expect(await detailOf({ type: 'http', url: `${url}/silent`, timeout: 100 })).toContain('100 ms')
    expect(await detailOf({ type: 'http', url: `${url}/drip`, timeout: 100, bodyContains: 'never' })).toContain('100 ms')
    expect(await detailOf({ type: 'http', url: `${url}/moved` })).toContain('redirect')
    expect(await detailOf({ type: 'http', url: 'http://127.0.0.1:1/' })).toMatch(/bad port|ECONNREFUSED/)
  })

  test('a check passes as soon as one attempt does, and is tried no more than asked', async () => {
    let requests = 0
    const port = await serve((_, response) => void response.writeHead(++requests < 3 ? 500 : 200).end())
    const url = `http://127.0.0.1:${port}/`
    expect(await detailOf({ type: 'http', url, retries: 1 })).toContain('(2 attempts)')
    expect(requests).toBe(2)
    expect(await detailOf({ type: 'http', url, retries: 10 })).toBeNull()
    expect(requests).toBe(3)
  })
})

test('a tcp check passes where something listens', async () => {
  const port = await serve(() => undefined)
  expect(await detailOf({ type: 'tcp', host: '127.0.0.1', port })).toBeNull()
  expect(await detailOf({ type: 'tcp', host: '127.0.0.1', port: 1 })).toContain('no connection')
})

describe('command checks', () => {
  const script = (name: string, text: string): Promise<void> => writeFile(`${directory}/tree/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 })

  test('pass on exit status 0, and know the node and their arguments', async () => {
    await script('probe', '[ "$MURMUR_NODE" = n1 ] && [ -d "$MURMUR_NODE_ROOT/etc" ] && [ "$1" = "a b" ] && [ -z "$HOME" ]')
    expect(await detailOf({ type: 'command', path: 'probe', args: ['a b'] })).toBeNull()
    expect(await detailOf({ type: 'command', path: 'probe' })).toContain('status 1')
  })

  test('fail with the end of their output, and where there is no such file', async () => {
    await script('probe', 'yes noise | head -c 200000; echo the disk is gone; exit 4')
    const detail = await detailOf({ type: 'command', path: 'probe' })
    expect(detail).toContain('status 4')
    expect(detail).toContain('the disk is gone')
    expect(detail!.length).toBeLessThanOrEqual(500)
    expect(await detailOf({ type: 'command', path: 'none' })).toContain('not-started')
  })

  test('a hanging one is ended with everything it started (F20, F33)', async () => {
    await script('probe', `sleep 600 & echo $! > ${directory}/pid; sleep 600`)
    expect(await detailOf({ type: 'command', path: 'probe', timeout: 200 })).toContain('did not end within 200 ms')
    const pid = Number(await readFile(`${directory}/pid`, 'utf8'))
    await expect.poll(() => isRunning(pid)).toBe(false)
  })
})

test('a file check reads the file as the node sees it', async () => {
  const { root } = checked.node
  await writeFile(`${root}/etc/version`, 'release 7')
  await symlink('/etc', `${root}/settings`)
  const sha256 = createHash('sha256').update('release 7').digest('hex')
  expect(await detailOf({ type: 'file', path: '/etc/version' })).toBeNull()
  expect(await detailOf({ type: 'file', path: '/settings/version', sha256, contains: 'release' })).toBeNull()
  expect(await detailOf({ type: 'file', path: '/etc/version', sha256: '0'.repeat(64) })).toContain('digest')
  expect(await detailOf({ type: 'file', path: '/etc/version', contains: 'release 8' })).toContain('does not contain')
  expect(await detailOf({ type: 'file', path: '/etc/none' })).toContain('no such file')
  expect(await detailOf({ type: 'file', path: '/etc' })).toContain('not a file')
  await writeFile(`${root}/etc/large`, Buffer.alloc(1024 * 1024 + 1))
  expect(await detailOf({ type: 'file', path: '/etc/large', sha256 })).toContain('longer than')
})

test('an aborted signal ends the waiting between attempts and the attempt itself', async () => {
  const port = await serve(() => undefined)
  for (const fields of [{ type: 'file', path: '/none', retries: 5, interval: 60_000 }, { type: 'http', url: `http://127.0.0.1:${port}/`, timeout: 60_000 }]) {
    const stop = new AbortController()
    const running = runCheck(nodeHost, checked, check(fields), stop.signal)
    setTimeout(() => stop.abort(new Error('enough')), 30)
    await expect(running).rejects.toThrow('enough')
  }
})

test('all checks run in order, and the first fault names node, component and check', async () => {
  const component = (name: string, health: object[]): Component =>
    Component.parse({ name, version: '1', config: { driver: 'files', target: `/opt/${name}` }, tree: { digest: '0'.repeat(64), listingBytes: 1, size: 0, files: 0 }, health })
  const passing = { type: 'file', name: 'passing', path: '/etc/ok', retries: 0 }
  await writeFile(`${checked.node.root}/etc/ok`, '')
  const failing = (name: string): object => ({ type: 'file', name, path: '/etc/none', retries: 0 })
  const components = [{ component: component('a', [passing]), tree: checked.tree }, { component: component('b', [failing('first'), failing('second')]), tree: checked.tree }]
  expect(await runChecks(nodeHost, checked.node, components, signal)).toMatchObject({ code: 'health-check-failed', node: 'n1', component: 'b', check: 'first' })
  expect(await runChecks(nodeHost, checked.node, components.slice(0, 1), signal)).toBeNull()
})
