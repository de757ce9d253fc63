import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Aedes } from 'aedes'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { MqttTls } from '../../edge-agent/host/host.ts'
import { createNodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import { createNodeNetwork } from '../../edge-agent/host/node-network.ts'
import { proxyFor } from '../../edge-agent/host/node-proxy.ts'
import { readEnvironment } from '../../edge-agent/environment.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { startConnectProxy, type ConnectProxy } from '../support/connect-proxy.ts'
import { listen as listenUntil } from '../support/listen.ts'
import { needs } from '../support/needs.ts'
import { createPrivateAuthority } from '../support/private-authority.ts'
import { startTlsFront } from '../support/tls-front.ts'

const { describe, test } = needs('openssl')
const host = 'broker.site.invalid'
const will = { topic: 'gone', payload: utf8('') }

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const listen = (server: Server): Promise<number> => listenUntil(server, ends)

describe('an agent behind a proxy', () => {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-proxy-'))
  let authority: ReturnType<typeof createPrivateAuthority>
  let own: ReturnType<typeof authority.certify>
  let client: MqttTls
  beforeAll(() => {
    authority = createPrivateAuthority(directory)
    own = authority.certify('broker', [host, `ws.${host}`, 'localhost'])
    const { certificate, key } = authority.certify('site-1')
    client = { certificate, privateKey: key, authority: authority.certificate }
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  /** A broker over TCP and one over WebSocket, behind TLS that wants a certificate of the authority. */
  async function start(user?: string): Promise<{ proxy: ConnectProxy; ports: { mqtts: number; wss: number; mqtt: number } }> {
    const broker = await Aedes.createBroker()
    ends.push(() => new Promise<void>((resolve) => broker.close(() => resolve())))
    const plain = await listen(createServer(broker.handle))
    const http = createHttpServer()
    new WebSocketServer({ server: http }).on('connection', (socket, request) => broker.handle(createWebSocketStream(socket), request))
    const fronts = []
    for (const port of [plain, await listen(http)]) {
      const front = await startTlsFront(port, { cert: own.certificate, key: own.key, ca: authority.certificate, requestCert: true, rejectUnauthorized: true })
      ends.push(front.close)
      fronts.push(front.port)
    }
    // each name leads to one port: what the proxy is asked for decides nothing but the name
    const proxy = await startConnectProxy({ [host]: fronts[0]!, [`ws.${host}`]: fronts[1]!, [`plain.${host}`]: plain }, user)
    ends.push(proxy.close)
    return { proxy, ports: { mqtts: fronts[0]!, wss: fronts[1]!, mqtt: plain } }
  }
  const connectVia = (proxies: Record<string, string>, url: string, tls?: MqttTls) =>
    createNodeNetwork(readEnvironment(proxies)).mqtt({ url, clientId: 'a', username: 'a', password: 'p', keepAliveS: 30, will, ...(tls === undefined ? {} : { tls }) })

  test('reaches its broker over mqtts, with its certificate, under a name that only the proxy knows', async () => {
    const { proxy } = await start()
    const connection = await connectVia({ HTTPS_PROXY: proxy.url }, `mqtts://${host}`, client)
    await connection.publish('x', utf8('y'))
    await connection.close()
    expect(proxy.tunnels).toEqual([`${host}:8883`])
    await expect(connectVia({}, `mqtts://${host}`, client)).rejects.toThrow(/ENOTFOUND|EAI_AGAIN/)
  })

  test('reaches it over wss, and tells the proxy who it is', async () => {
    const { proxy } = await start('site:p@ss word')
    const connection = await connectVia({ https_proxy: proxy.url }, `wss://ws.${host}/mqtt`, client)
    await connection.publish('x', utf8('y'))
    await connection.close()
    expect(proxy.tunnels).toEqual([`ws.${host}:443`])
    await expect(connectVia({ HTTPS_PROXY: proxy.url.replace('ss%20', '') }, `wss://ws.${host}/mqtt`, client)).rejects.toThrow('it answered 407 Proxy Authentication Required')
    expect(proxy.refused).toBe(1)
  })

  test('takes HTTP_PROXY for mqtt without TLS', async () => {
    const { proxy } = await start()
    const connection = await connectVia({ HTTP_PROXY: proxy.url, HTTPS_PROXY: 'http://127.0.0.1:1' }, `mqtt://plain.${host}`)
    await connection.publish('x', utf8('y'))
    await connection.close()
    expect(proxy.tunnels).toEqual([`plain.${host}:1883`])
  })

  test('connects directly with its certificate where NO_PROXY says so, over both', async () => {
    const { proxy, ports } = await start()
    for (const url of [`mqtts://localhost:${ports.mqtts}`, `wss://localhost:${ports.wss}/mqtt`]) {
      const connection = await connectVia({ HTTPS_PROXY: proxy.url, NO_PROXY: 'localhost' }, url, client)
      await connection.publish('x', utf8('y'))
      await connection.close()
    }
    expect(proxy.tunnels).toEqual([])
  })

  test('says what is wrong: an unknown name, a certificate that is not believed, a proxy that is not there', async () => {
    const { proxy } = await start()
    await expect(connectVia({ HTTPS_PROXY: proxy.url }, 'mqtts://elsewhere.invalid', client)).rejects.toThrow('no way to elsewhere.invalid:8883: it answered 502 Unknown Host')
    await expect(connectVia({ HTTPS_PROXY: proxy.url }, `mqtts://${host}`)).rejects.toThrow(/certificate|self-signed/)
    await expect(connectVia({ HTTPS_PROXY: proxy.url }, `mqtts://${host}`, { ...client, authority: null })).rejects.toThrow(/certificate|self-signed/)
    await expect(connectVia({ HTTPS_PROXY: 'http://127.0.0.1:1' }, `mqtts://${host}`, client)).rejects.toThrow('ECONNREFUSED')
    expect(() => readEnvironment({ HTTPS_PROXY: 'socks5://x', MURMUR_AGENT_TRIAL_S: '0' })).toThrow(/HTTPS_PROXY.*MURMUR_AGENT_TRIAL_S|MURMUR_AGENT_TRIAL_S.*HTTPS_PROXY/)
  })

  test('gives up a tunnel behind which nobody speaks TLS, or that breaks', async () => {
    const [silent, breaking] = [await listen(createServer(() => undefined)), await listen(createServer((socket) => void setTimeout(() => socket.resetAndDestroy(), 50)))]
    const proxy = await startConnectProxy({ 'silent.invalid': silent, 'breaking.invalid': breaking })
    ends.push(proxy.close)
    const connect = createNodeMqtt(readEnvironment({ HTTPS_PROXY: proxy.url }), 300)
    const options = { clientId: 'a', username: 'a', password: 'p', keepAliveS: 30, will }
    await expect(connect({ url: 'mqtts://silent.invalid', ...options })).rejects.toThrow('no TLS within 300 ms')
    await expect(connect({ url: 'mqtts://breaking.invalid', ...options })).rejects.toThrow('MQTT mqtts://breaking.invalid')
  })

  test.each(['http://site:100%secret@proxy:3128', 'http://site:%FFsecret@proxy:3128', 'site:secret@proxy:3128'])('says that HTTPS_PROXY=%s cannot be read, and not what its password is', (proxy) => {
    const read = () => readEnvironment({ HTTPS_PROXY: proxy })
    expect(read).toThrow(/HTTPS_PROXY/)
    expect(read).not.toThrow(/secret/)
  })

  test('does not start where certificates would not be checked', () => {
    expect(() => readEnvironment({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toThrow('NODE_EXTRA_CA_CERTS')
  })

  test.each([['::1', true], ['[::1]', true], ['[::1]:8883', true], ['[::1]:443', false], ['fd00::1', false], ['FD00::2,::1', true]])('NO_PROXY=%s excepts [::1]:8883: %s', (exceptions, excepted) => {
    expect(proxyFor(readEnvironment({ HTTPS_PROXY: 'http://p:1', NO_PROXY: exceptions }), { host: '::1', port: 8883, secure: true }) === null).toBe(excepted)
  })

  test.each([
    ['*', true], ['a.example.com', true], ['A.Example.com', true], ['example.com', false], ['.example.com', true], ['*.example.com', true], ['b, a.example.com:8883', true],
    ['a.example.com:443', false], ['', false], ['ple.com', false],
  ])('NO_PROXY=%s excepts a.example.com:8883: %s', (exceptions, excepted) => {
    expect(proxyFor(readEnvironment({ HTTPS_PROXY: 'http://p:1', NO_PROXY: exceptions }), { host: 'a.example.com', port: 8883, secure: true }) === null).toBe(excepted)
  })
})
