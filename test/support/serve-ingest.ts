import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One request to POST /v1/ingest: what it said of a gap, and the texts of its messages. */
export type IngestCall = { gap: string | undefined; texts: string[] }
export type IngestServer = Awaited<ReturnType<typeof serveIngest>>

/** A controller's side of POST /v1/ingest that answers with the statuses it is given in turn, and with 200 when there are none left. */
export async function serveIngest(statuses: number[] = []) {
  const calls: IngestCall[] = []
  const tokens = new Set<string | undefined>()
  let sockets: Server | null = null
  let port = 0
  const open = async (): Promise<void> => {
    sockets = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        const { messages, gap } = JSON.parse(Buffer.concat(chunks).toString()) as { messages: { topic: string; payload: string }[]; gap?: string }
        tokens.add(request.headers.authorization)
        const status = statuses.shift() ?? 200
        if (status === 200) calls.push({ gap, texts: messages.map(({ payload }) => Buffer.from(payload, 'base64').toString()) })
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ accepted: messages.length, refused: [] }))
      })
    })
    await new Promise<void>((resolve) => sockets!.listen(port, '127.0.0.1', resolve))
    port = (sockets.address() as AddressInfo).port
  }
  await open()
  return {
    url: `http://127.0.0.1:${port}`,
    statuses, calls, tokens,
    /** Texts of all messages so far, in the order they were taken. */
    texts: (): string[] => calls.flatMap(({ texts }) => texts),
    gaps: (): string[] => calls.flatMap(({ gap }) => (gap === undefined ? [] : [gap])),
    /** Listens again after `close`, at the same place. */
    open,
    close: (): Promise<void> =>
      new Promise((resolve) => {
        sockets!.closeAllConnections()
        sockets!.close(() => resolve())
      }),
  }
}
