import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createFetchHttpSender } from '../../functions/adapters/cloudflare/http-sender.ts'
import { createNodeHttpSender } from '../../functions/adapters/node/http-sender.ts'
import { listen } from '../support/listen.ts'
import { needs } from '../support/needs.ts'
import { createPrivateAuthority } from '../support/private-authority.ts'
import { startResolver } from '../support/start-resolver.ts'
import { startRawReceiver } from '../support/raw-receiver.ts'
import { endedCertificate, localhostKey, untrustedCertificate } from '../support/tls-certificates.ts'
import { allow, faultOf, requestTo, runHttpSenderCases } from './http-sender.cases.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

const resolveAs = (names: Record<string, readonly string[]>) => async (host: string) => {
  const addresses = names[host]
  if (addresses === undefined) throw new Error(`getaddrinfo ENOTFOUND ${host}`)
  return addresses
}

runHttpSenderCases('Node', async (allowed, names) => createNodeHttpSender({ allowed: allow(allowed), resolve: resolveAs(names) }), ends)

describe('the Node sender', () => {
  test('F63: asks once what a name is, and connects to that, whatever the name is a moment later', async () => {
    const asked: string[] = []
    const rebinding = async (host: string) => (asked.push(host), asked.length === 1 ? ['127.0.0.2'] : ['127.0.0.1'])
    const locals: (string | undefined)[] = []
    const server = createServer((request, response) => {
      locals.push(request.socket.localAddress)
      response.end()
    })
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
    ends.push(() => server.close())
    const { port } = server.address() as { port: number }
    const sender = createNodeHttpSender({ allowed: allow('127.0.0.2'), resolve: rebinding })
    expect(await sender.send(requestTo(`http://rebind.example.com:${port}/`))).toMatchObject({ status: 200, address: '127.0.0.2' })
    expect(await sender.send(requestTo(`http://rebind.example.com:${port}/`))).toMatchObject({ code: 'forbidden' })
    expect(asked).toHaveLength(2)
    expect(locals).toEqual(['127.0.0.2'])
  })

  test('tries the other addresses of a name where one does not answer', async () => {
    const { port } = await startRawReceiver((socket) => socket.end(ok), ends)
    const sender = createNodeHttpSender({ allowed: allow('127.0.0.0/8, ::1'), resolve: resolveAs({ 'many.example.com': ['127.0.0.9', '127.0.0.1'] }) })
    expect(await sender.send(requestTo(`http://many.example.com:${port}/`))).toMatchObject({ status: 200, address: '127.0.0.1' })
  })

  test('F64: reads no header that is longer than any should be', async () => {
    const { url } = await startRawReceiver((socket) => socket.end(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`), ends)
    expect(await createNodeHttpSender({ allowed: allow('127.0.0.1') }).send(requestTo(url))).toMatchObject({ code: 'broken', address: '127.0.0.1' })
  })

  test('F64: waits for a resolver no longer than for all the rest', async () => {
    const sender = createNodeHttpSender({ allowed: allow(''), resolve: () => new Promise(() => undefined) })
    expect(await sender.send(requestTo('https://slow.example.com/', { timeoutMs: 50 }))).toMatchObject({ code: 'timeout' })
  })

  test('uses the system\'s resolver, and no proxy that the process is told of', async () => {
    const { port, received } = await startRawReceiver((socket) => socket.end(ok), ends)
    const proxy = await startRawReceiver((socket) => socket.end(ok), ends)
    const script = `
      import { createNodeHttpSender } from './functions/adapters/node/http-sender.ts'
      import { parseAllowed } from './functions/webhook/judge-address.ts'
      const url = 'http://localhost:${port}/in'
      await fetch(url, { method: 'POST' }).catch(() => undefined)
      const sender = createNodeHttpSender({ allowed: parseAllowed('localhost').value })
      console.log(JSON.stringify(await sender.send({ url, headers: {}, body: '', timeoutMs: 5000, answerBytesMax: 100 })))`
    const environment = { PATH: process.env['PATH'], NODE_USE_ENV_PROXY: '1', HTTP_PROXY: `http://127.0.0.1:${proxy.port}` }
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', script], { cwd: join(import.meta.dirname, '../..'), env: environment })
    expect(JSON.parse(stdout)).toMatchObject({ status: 200, address: '127.0.0.1' })
    expect(received[0]).toMatch(new RegExp(`^POST /in HTTP/1.1\r\n(?:.+\r\n)*host: localhost:${port}\r\n`, 'i'))
    expect([proxy.connections(), received.length], 'what goes by the process\'s own ways goes over the proxy').toEqual([1, 1])
  })

  test('F64: sends nothing to a server whose certificate nobody vouches for, or has ended, whatever the process is told', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    ends.push(() => vi.unstubAllEnvs())
    for (const certificate of [untrustedCertificate, endedCertificate]) {
      const requests: unknown[] = []
      const server = createTlsServer({ key: localhostKey, cert: certificate }, (request, response) => (requests.push(request.url), response.end()))
      const port = await listen(server, ends)
      const sender = createNodeHttpSender({ allowed: allow('localhost') })
      expect(await sender.send(requestTo(`https://localhost:${port}/`))).toMatchObject({ code: 'tls', detail: expect.stringMatching(/certificate/) })
      expect(requests).toEqual([])
    }
    const plain = await startRawReceiver((socket) => socket.end(ok), ends)
    const deaf = createNodeHttpSender({ allowed: allow('localhost') }).send(requestTo(`https://localhost:${plain.port}/`, { timeoutMs: 300 }))
    expect(faultOf(await deaf)).toMatch(/^(tls|timeout)$/)
  })
})

needs('openssl').test('the Node sender believes the authorities of its process, for the name in the URL and not for its address', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-sender-'))
  ends.push(() => rm(directory, { recursive: true }))
  const authority = createPrivateAuthority(directory)
  const { certificate, key } = authority.certify('receiver', ['hooks.example.com'])
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, authority.certificate])
  ends.push(() => setDefaultCACertificates(before))
  const names: unknown[] = []
  const server = createTlsServer({ key, cert: certificate }, (request, response) => (names.push([request.headers.host, (request.socket as TLSSocket & { servername: string }).servername]), response.end('hello')))
  const port = await listen(server, ends)
  const sender = createNodeHttpSender({ allowed: allow('127.0.0.0/8'), resolve: resolveAs({ 'hooks.example.com': ['127.0.0.1'], 'other.example.com': ['127.0.0.1'] }) })
  expect(await sender.send(requestTo(`https://hooks.example.com:${port}/`))).toMatchObject({ status: 200, body: 'hello', address: '127.0.0.1' })
  expect(names).toEqual([[`hooks.example.com:${port}`, 'hooks.example.com']])
  for (const host of ['other.example.com', '127.0.0.1']) expect(await sender.send(requestTo(`https://${host}:${port}/`))).toMatchObject({ code: 'tls' })
  expect(names).toHaveLength(1)
})

runHttpSenderCases('Workers', async (allowed, names) => createFetchHttpSender({ allowed: allow(allowed), resolverUrl: (await startResolver(names, ends)).url }), ends)

describe('the Workers sender', () => {
  test('asks its resolver for both kinds of address, and sends only when both are answered for', async () => {
    const resolver = await startResolver({ 'good.example.com': ['8.8.8.8', '2606:4700::1111'], 'six.example.com': ['8.8.8.8', 'fd00::1'], 'half.example.com': ['8.8.8.8'] }, ends)
    const sender = createFetchHttpSender({ allowed: allow(''), resolverUrl: resolver.url })
    expect(await sender.judge('https://good.example.com/')).toBeNull()
    expect(resolver.asked.sort()).toEqual(['good.example.com 1 application/dns-json', 'good.example.com 28 application/dns-json'])
    expect(await sender.judge('https://six.example.com/')).toMatch(/fd00::1 is not public/)
    for (const host of ['half.example.com', 'broken.example.com', 'servfail.example.com']) expect(await sender.send(requestTo(`https://${host}/`))).toMatchObject({ code: 'unresolved', detail: expect.stringContaining(host) })
  })

  test('asks nobody about an address', async () => {
    const resolver = await startResolver({}, ends)
    const { url } = await startRawReceiver((socket) => socket.end(ok), ends)
    const sender = createFetchHttpSender({ allowed: allow('127.0.0.1'), resolverUrl: resolver.url })
    expect(await sender.send(requestTo(url))).toMatchObject({ status: 200, address: null })
    expect(resolver.asked).toEqual([])
  })
})
