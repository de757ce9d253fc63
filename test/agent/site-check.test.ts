import { chmodSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseConfig } from '../../edge-agent/config.ts'
import { trySiteCheck, type CheckCommands } from '../../edge-agent/health/try-site-check.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import { SiteCheck } from '../../protocol/monitoring.ts'
import { freePort } from '../support/free-port.ts'
import { isRunning } from '../support/is-running.ts'
import { machineFiles } from '../support/machine-files.ts'

const never = new AbortController().signal
const tryIt = (fields: object, commands: CheckCommands = {}): Promise<string | null> => trySiteCheck(nodeHost, commands, SiteCheck.parse({ name: 'c', timeoutS: 5, ...fields }), never)

async function serve(listener: RequestListener): Promise<number> {
  const server: Server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** A program of the site, and its place in `agent.json`. */
function program(script: string, more: object = {}): CheckCommands {
  const root = machineFiles({ 'check.sh': `#!/bin/sh\n${script}\n` })
  const path = join(root, 'check.sh')
  chmodSync(path, 0o755)
  return { probe: { path, args: [], ...more } }
}
const probe = { type: 'command', command: 'probe' }

describe('checks that a site declares', () => {
  test('of an address pass on what is expected of it, and say what they found else', async () => {
    const port = await serve((request, response) => void response.writeHead(request.url === '/ok' ? 204 : 500).end())
    expect(await tryIt({ type: 'http', url: `http://127.0.0.1:${port}/ok`, status: [200, 204] })).toBeNull()
    expect(await tryIt({ type: 'http', url: `http://127.0.0.1:${port}/no` })).toBe('answered with status 500')
    expect(await tryIt({ type: 'http', url: `http://127.0.0.1:${await freePort()}/` })).toContain('ECONNREFUSED')
  })

  test('of an address that never answers are cut off', async () => {
    const port = await serve(() => undefined)
    expect(await tryIt({ type: 'http', url: `http://127.0.0.1:${port}/`, timeoutS: 1 })).toMatch(/within 1000 ms/)
  })

  test('of a port pass where something listens', async () => {
    expect(await tryIt({ type: 'tcp', host: '127.0.0.1', port: await serve(() => undefined) })).toBeNull()
    const closed = await freePort()
    expect(await tryIt({ type: 'tcp', host: '127.0.0.1', port: closed })).toBe(`no connection to 127.0.0.1:${closed}`)
  })

  test('of a program pass when it ends with 0, and tell the end of what it said else', async () => {
    expect(await tryIt(probe, program('exit 0'))).toBeNull()
    expect(await tryIt(probe, program('echo the tank is empty; exit 3'))).toBe('ended with status 3 the tank is empty')
    expect(await tryIt(probe, { probe: { path: '/not/there', args: [] } })).toContain('was not-started')
  })

  test('run only what the site itself allows, by its name', async () => {
    for (const command of ['probe', 'constructor', 'to-string']) expect(await tryIt({ type: 'command', command })).toBe(`this site allows no command "${command}"`)
    expect(SiteCheck.safeParse({ name: 'c', type: 'command', command: 'probe', path: '/bin/sh' }).success).toBe(false)
    expect(SiteCheck.safeParse({ name: 'c', type: 'command', command: '../../bin/sh' }).success).toBe(false)
  })

  test('run it without a shell and with nothing of the environment of the agent (F20)', async () => {
    const commands = program('[ "$1" = \'$(id) ; *\' ] || exit 7; env | sort | tr "\\n" " "; exit 1', { args: ['$(id) ; *'] })
    const said = await tryIt(probe, commands)
    expect(said).toMatch(/^ended with status 1 LC_ALL=C MURMUR_CHECK=c PATH=[^ ]* PWD=\//)
  })

  test('end it with all it has started when its time is up, its own or the check\'s', async () => {
    const commands = program('echo $$; sleep 60 & sleep 60')
    expect(await tryIt({ ...probe, timeoutS: 1 }, commands)).toMatch(/^did not end within 1000 ms/)
    const said = await tryIt(probe, { probe: { ...commands['probe']!, timeoutMs: 300 } })
    expect(said).toMatch(/^did not end within 300 ms \d+$/)
    expect(isRunning(Number(/\d+$/.exec(said!)![0]))).toBe(false)
  })

  test('say little, however much a program says, and nothing that a terminal would obey', async () => {
    const said = await tryIt(probe, program("yes x | head -c 3000000; printf '\\033[31mred\\n'; exit 1"))
    expect(said!.length).toBeLessThanOrEqual(500)
    expect(said).not.toContain('\u001b')
  })
})

test('commands of agent.json are closed and bounded', () => {
  const read = (commands: object) => parseConfig({
    site: 'north', fleet: 'fleet', controllerUrl: 'https://c.example', rootFingerprint: '0'.repeat(64), stateDirectory: '/state', nodes: [{ name: 'a', personality: 'controller', root: '/', hasAgent: true }], commands,
  })
  expect(read({ probe: { path: '/usr/bin/true' } }).commands).toEqual({ probe: { path: '/usr/bin/true', args: [] } })
  for (const wrong of [{ path: 'true' }, { path: '/bin/sh', shell: true }, { path: '/bin/true', args: ['a\0b'] }, { path: '/bin/true', timeoutMs: 0 }]) expect(() => read({ probe: wrong })).toThrow()
  expect(() => read({ 'Not/A Name': { path: '/bin/true' } })).toThrow()
  expect(() => read(Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`c${i}`, { path: '/bin/true' }])))).toThrow()
})
