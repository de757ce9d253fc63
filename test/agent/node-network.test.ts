import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { Aedes, type Client } from 'aedes'
import { afterEach, describe, expect, test } from 'vitest'
import type { MqttConnection, MqttMessage } from '../../edge-agent/host/host.ts'
import { nodeNetwork } from '../../edge-agent/host/node-network.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { listen as listenUntil } from '../support/listen.ts'

const ends: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const listen = (server: Server): Promise<number> => listenUntil(server, ends)

async function startBroker(): Promise<{ broker: Aedes; url: string }> {
  const broker = await Aedes.createBroker()
  broker.authenticate = (_client, _username, password, done) => {
    const right = password?.toString() === 'secret'
    done(right ? null : Object.assign(new Error('no'), { returnCode: 5 }), right)
  }
  broker.authorizeSubscribe = (_client, subscription, done) => done(null, subscription.topic.startsWith('closed/') ? null : subscription)
  ends.push(() => new Promise<void>((resolve) => broker.close(() => resolve())))
  return { broker, url: `mqtt://127.0.0.1:${await listen(createServer(broker.handle))}` }
}

const connect = async (url: string, more: { password?: string; clientId?: string } = {}): Promise<MqttConnection> => {
  const connection = await nodeNetwork.mqtt({ url, clientId: 'a', username: 'a', password: 'secret', keepAliveS: 30, will: { topic: 'gone/a', payload: utf8('bye') }, ...more })
  ends.push(() => connection.close())
  return connection
}

describe('mqtt', () => {
  test('what is published is received once, with its retained flag', async () => {
    const { url } = await startBroker()
    const [a, b] = [await connect(url), await connect(url, { clientId: 'b' })]
    const messages: MqttMessage[] = []
    b.onMessage((message) => messages.push(message))
    await b.subscribe(['to/b', 'other'])
    await a.publish('to/b', utf8('hello'))
    await expect.poll(() => messages.length).toBe(1)
    expect({ ...messages[0], payload: fromUtf8(messages[0]!.payload) }).toEqual({ topic: 'to/b', payload: 'hello', retained: false })
  })

  test('the will is sent when the connection breaks, and not after a goodbye', async () => {
    const { broker, url } = await startBroker()
    const watcher = await connect(url, { clientId: 'watcher' })
    const wills: string[] = []
    watcher.onMessage((message) => wills.push(fromUtf8(message.payload)))
    await watcher.subscribe(['gone/a'])
    await (await connect(url)).close()
    let client: Client | undefined
    broker.once('client', (connected) => (client = connected))
    const broken = await connect(url)
    let closed = 0
    broken.onClose(() => closed++)
    client!.conn.destroy()
    await expect.poll(() => wills).toEqual(['bye'])
    await expect.poll(() => closed).toBe(1)
    await expect(broken.publish('x', utf8(''))).rejects.toThrow('closed')
  })

  test('a publish that is in flight when the connection goes is rejected, not forgotten', async () => {
    const { broker, url } = await startBroker()
    let client: Client | undefined
    broker.once('client', (connected) => (client = connected))
    broker.authorizePublish = () => client!.conn.destroy()
    const a = await connect(url)
    await expect(a.publish('x', utf8(''))).rejects.toThrow('closed')
  })

  test('every refusal is an error that says what was refused', async () => {
    const { url } = await startBroker()
    await expect(connect(url, { password: 'wrong' })).rejects.toThrow(/Not authorized/i)
    await expect((await connect(url)).subscribe(['open', 'closed/x'])).rejects.toThrow()
    const silent = await listen(createServer((socket) => socket.destroy()))
    await expect(connect(`mqtt://127.0.0.1:${silent}`)).rejects.toThrow('closed')
    await expect(connect('mqtt://127.0.0.1:1')).rejects.toThrow('ECONNREFUSED')
  })
})

describe('http', () => {
  const gather = async (body: AsyncIterable<Uint8Array>): Promise<number> => {
    let length = 0
    for await (const piece of body) length += piece.length
    return length
  }
  const get = (url: string, timeoutMs = 5000): ReturnType<typeof nodeNetwork.http> => nodeNetwork.http({ method: 'GET', url, headers: {}, timeoutMs })

  test('a body that breaks off or stops coming is an error, and never a short answer (F8, F34)', async () => {
    const server = createHttpServer((request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('x'.repeat(10))
      if (request.url === '/breaks') setTimeout(() => response.destroy(), 20)
    })
    const url = `http://127.0.0.1:${await listen(server)}`
    await expect(get(`${url}/breaks`).then(({ body }) => gather(body))).rejects.toThrow('/breaks')
    await expect(get(`${url}/stops`, 100).then(({ body }) => gather(body))).rejects.toThrow('no further bytes within 100 ms')
  })

  test('a request that is posted arrives whole, and headers come back', async () => {
    const server = createHttpServer(async (request, response) => {
      let length = 0
      for await (const piece of request) length += (piece as Buffer).length
      response.writeHead(207, { 'x-method': request.method, 'x-encoding': request.headers['accept-encoding'] }).end('y'.repeat(length))
    })
    const url = `http://127.0.0.1:${await listen(server)}/`
    const response = await nodeNetwork.http({ method: 'POST', url, headers: { 'content-type': 'text/plain' }, body: new Uint8Array(300_000), timeoutMs: 5000 })
    expect([response.status, response.headers['x-method'], response.headers['x-encoding'], await gather(response.body)]).toEqual([207, 'POST', 'identity', 300_000])
  })

  test('an error names the address without its query, which may hold a signature', async () => {
    const error = await get('http://127.0.0.1:9/x?signature=abc').catch((thrown: Error) => thrown)
    expect(String(error)).toContain('http://127.0.0.1:9/x')
    expect(String(error)).not.toContain('abc')
  })
})
