import { gzipSync } from 'node:zlib'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { Answer, HttpSender, OutgoingRequest, SendFault } from '../../functions/ports/http-sender.ts'
import { parseAllowed, type Allowed } from '../../functions/webhook/judge-address.ts'
import { listen } from '../support/listen.ts'
import { startRawReceiver } from '../support/raw-receiver.ts'

export const allow = (list: string): Allowed => {
  const parsed = parseAllowed(list)
  if (!parsed.ok) throw new Error(parsed.refusal)
  return parsed.value
}

export const requestTo = (url: string, more: Partial<OutgoingRequest> = {}): OutgoingRequest =>
  ({ url, headers: { 'content-type': 'application/json', 'webhook-id': 'wd_1' }, body: '{"text":"ü"}', timeoutMs: 1500, answerBytesMax: 1024, ...more })

export const faultOf = (came: Answer | SendFault): string => ('code' in came ? came.code : `status ${came.status}`)
const answerOf = (came: Answer | SendFault): Answer => {
  if ('code' in came) throw new Error(`${came.code}: ${came.detail}`)
  return came
}

/** What every sender does with receivers that are slow, broken or mean; `open` makes one that may send to what `allowed` says, and resolves names as `names` says. What is on `ends` is to be called after each case. */
export function runHttpSenderCases(name: string, open: (allowed: string, names: Record<string, readonly string[]>) => Promise<HttpSender>, ends: (() => unknown)[], suite: typeof describe | typeof describe.skip = describe): void {
  const here = () => open('127.0.0.0/8', {})

  suite(`the ${name} sender`, () => {
    test('posts the body and headers as they are, and gives back what came', async () => {
      const { url, received } = await startRawReceiver((socket) => socket.end('HTTP/1.1 202 Accepted\r\nX-Reply: yes\r\nContent-Length: 5\r\n\r\nhello'), ends)
      const came = answerOf(await (await here()).send(requestTo(`${url}?a=b`)))
      expect(came).toMatchObject({ status: 202, body: 'hello', headers: { 'x-reply': 'yes' } })
      expect(came.durationMs).toBeGreaterThanOrEqual(0)
      const [head, body] = received[0]!.split('\r\n\r\n')
      expect(head).toMatch(/^POST \/in\?a=b HTTP\/1\.1\r\n/)
      for (const header of ['content-type: application/json', 'webhook-id: wd_1', 'content-length: 13', 'user-agent: murmuration', `host: ${new URL(url).host}`]) expect(head!.toLowerCase()).toContain(header)
      expect(body).toBe('{"text":"ü"}')
    })

    test.each([200, 204, 400, 410, 429, 500, 503])('gives back status %i as an answer', async (status) => {
      const { url } = await startRawReceiver((socket) => socket.end(`HTTP/1.1 ${status} Text\r\nRetry-After: 7\r\n${status === 204 ? '' : 'Content-Length: 0\r\n'}\r\n`), ends)
      expect(await (await here()).send(requestTo(url))).toMatchObject({ status, body: '', headers: { 'retry-after': '7' } })
    })

    test.each([301, 302, 303, 307, 308])('F63: follows no redirect (%i), wherever it leads', async (status) => {
      const inside = await startRawReceiver((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret'), ends)
      const { url } = await startRawReceiver((socket) => socket.end(`HTTP/1.1 ${status} Elsewhere\r\nLocation: ${inside.url}\r\nContent-Length: 0\r\n\r\n`), ends)
      expect(await (await here()).send(requestTo(url))).toMatchObject({ status, headers: { location: inside.url } })
      expect(inside.connections()).toBe(0)
    })

    test('F62: connects to nothing that is not public, and says why', async () => {
      const { port, connections } = await startRawReceiver((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'), ends)
      const sender = await open('', { 'inside.example.com': ['127.0.0.1'], 'both.example.com': ['8.8.8.8', '127.0.0.1'], 'six.example.com': ['::ffff:127.0.0.1'] })
      const urls = [`http://127.0.0.1:${port}/`, `https://127.1:${port}/`, 'https://inside.example.com/', 'https://both.example.com/', 'https://six.example.com/', 'https://169.254.169.254/latest/', 'file:///etc/passwd', `https://a@127.0.0.1:${port}`, 'https://localhost/']
      for (const url of urls) {
        expect(await sender.judge(url), url).toEqual(expect.any(String))
        expect(await sender.send(requestTo(url)), url).toMatchObject({ code: 'forbidden', detail: await sender.judge(url), address: null })
      }
      expect(connections()).toBe(0)
    })

    test('knows a name that does not resolve from one that must not be used, and holds it against nobody', async () => {
      const sender = await open('', { 'good.example.com': ['8.8.8.8'] })
      expect(await sender.judge('https://good.example.com/')).toBeNull()
      expect(await sender.judge('https://nowhere.example.com/')).toBeNull()
      expect(await sender.send(requestTo('https://nowhere.example.com/'))).toMatchObject({ code: 'unresolved' })
    })

    test('F64: gives up a receiver that never answers, answers too late, or sends its header drop by drop', async () => {
      const sender = await here()
      const drip = (socket: Socket, text: string): void => {
        const timer = setInterval(() => socket.write(text), 20)
        socket.on('close', () => clearInterval(timer))
      }
      const receivers = await Promise.all([
        startRawReceiver(() => undefined, ends),
        startRawReceiver((socket) => { const timer = setTimeout(() => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), 900); socket.on('close', () => clearTimeout(timer)) }, ends),
        startRawReceiver((socket) => { socket.write('HTTP/1.1 200 OK\r\n'); drip(socket, 'X') }, ends),
      ])
      const came = await Promise.all(receivers.map(({ url }) => sender.send(requestTo(url, { timeoutMs: 300 }))))
      expect(came.map(faultOf)).toEqual(['timeout', 'timeout', 'timeout'])
    })

    test('F64: cuts a body that never ends, or comes drop by drop; the status stands', async () => {
      const sender = await here()
      const receivers = await Promise.all([
        startRawReceiver((socket) => { socket.write('HTTP/1.1 200 OK\r\n\r\nsome') }, ends),
        startRawReceiver((socket) => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
          const timer = setInterval(() => socket.write('x'), 50)
          socket.on('close', () => clearInterval(timer))
        }, ends),
      ])
      const [endless, dripping] = (await Promise.all(receivers.map(({ url }) => sender.send(requestTo(url, { timeoutMs: 400 }))))).map(answerOf)
      expect(endless).toMatchObject({ status: 200, body: 'some' })
      expect(dripping!.status).toBe(200)
      expect(dripping!.body).toMatch(/^x{1,20}$/)
    })

    test('F64: reads of a gigabyte what it was told to, and hangs up', async () => {
      let written = 0
      const { url } = await startRawReceiver((socket) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n')
        const piece = Buffer.alloc(64 * 1024, 'x')
        const fill = (): void => { while (!socket.destroyed && written < 1_000_000_000 && socket.write(piece)) written += piece.length }
        socket.on('drain', fill)
        fill()
      }, ends)
      expect(await (await here()).send(requestTo(url, { timeoutMs: 60_000 }))).toMatchObject({ status: 200, body: 'x'.repeat(1024) })
      expect(written).toBeLessThan(100_000_000)
    })

    test('F64: takes the status of an answer that is shorter than it says', async () => {
      const { url } = await startRawReceiver((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort'), ends)
      expect(await (await here()).send(requestTo(url))).toMatchObject({ status: 200, body: 'short' })
    })

    test('F64: is not filled by what unpacks to far more than it is', async () => {
      const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024))
      const server = createServer((_, response) => response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'text/plain' }).end(bomb))
      const port = await listen(server, ends)
      const came = answerOf(await (await here()).send(requestTo(`http://127.0.0.1:${port}/`)))
      expect(came.status).toBe(200)
      expect(came.body.length).toBeLessThanOrEqual(1024)
    })

    test('names what is broken: a connection that ends, an answer that is none, a port where nobody listens', async () => {
      const sender = await here()
      const hangUp = await startRawReceiver((socket) => socket.destroy(), ends)
      const nonsense = await startRawReceiver((socket) => socket.end('this is no HTTP\r\n\r\n'), ends)
      for (const { url } of [hangUp, nonsense]) expect(await sender.send(requestTo(url))).toMatchObject({ code: expect.stringMatching(/^(broken|unreachable)$/), detail: expect.stringMatching(/./) })
      const gone: (() => unknown)[] = []
      const { url } = await startRawReceiver(() => undefined, gone)
      for (const end of gone) await end()
      expect(await sender.send(requestTo(url))).toMatchObject({ code: 'unreachable' })
    })
  })
}
