import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Receiver = { url: string; /** When this alarm's entity was told first, by performance.now(). */ arrival(entity: string): Promise<number>; messages(): number; stop(): Promise<void> }

const patienceMs = 120_000

type Told = { data: { entity?: string; events?: { data: { entity?: string } }[] } }

/** A plain HTTP server that notes when each alarm reaches it, alone or among others. */
export async function startReceiver(): Promise<Receiver> {
  const arrived = new Map<string, number>()
  const waiting = new Map<string, (atMs: number) => void>()
  let messages = 0
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => (body += piece)).on('end', () => {
      const atMs = performance.now()
      messages++
      const { data } = JSON.parse(body) as Told
      for (const { entity } of data.events?.map((event) => event.data) ?? [data]) {
        if (entity === undefined || arrived.has(entity)) continue
        arrived.set(entity, atMs)
        waiting.get(entity)?.(atMs)
      }
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    messages: () => messages,
    arrival: (entity) =>
      new Promise((resolve, reject) => {
        const known = arrived.get(entity)
        if (known !== undefined) return resolve(known)
        const patience = setTimeout(() => reject(new Error(`${entity} was not told within ${patienceMs} ms`)), patienceMs)
        waiting.set(entity, (atMs) => {
          clearTimeout(patience)
          resolve(atMs)
        })
      }),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A server that takes requests and answers a byte now and then, without an end. */
export async function startDripping(): Promise<{ url: string; stop(): Promise<void> }> {
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-length': '1000000' })
    const drip = setInterval(() => response.write('.'), 1000)
    response.on('close', () => clearInterval(drip))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
