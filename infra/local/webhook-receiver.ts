import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A message as a subscriber takes it: what it says, and whether its signature is right. */
export type ReceivedWebhook = { type: string; subject: string; data: Record<string, unknown>; signed: boolean }
export type WebhookReceiver = { url: string; /** Whose signatures to believe from now on. */ trust(secret: string): void; stop(): Promise<void> }

const bodyBytesMax = 64 * 1024
const ageMsMax = 5 * 60_000

/** A subscriber of one's own, on the loopback: what any program has to do that takes signed webhooks, and no more. */
export async function startWebhookReceiver(onMessage: (message: ReceivedWebhook) => void): Promise<WebhookReceiver> {
  let key: Buffer | null = null
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      const signed = key !== null && isSigned(key, request, body)
      if (signed) onMessage({ ...(JSON.parse(body) as Pick<ReceivedWebhook, 'type' | 'subject' | 'data'>), signed })
      response.writeHead(signed ? 204 : 401).end()
    }, () => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/alarms`,
    trust(secret) {
      key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const piece of request.setEncoding('utf8')) {
    body += piece as string
    if (body.length > bodyBytesMax) throw new Error('too long')
  }
  return body
}

/** Standard Webhooks: HMAC-SHA-256 over id, time and body; any of the signatures may be the one. */
function isSigned(key: Buffer, { headers }: IncomingMessage, body: string): boolean {
  const [id, timestamp, signatures] = [headers['webhook-id'], headers['webhook-timestamp'], headers['webhook-signature']]
  if (typeof signatures !== 'string' || Math.abs(Date.now() - Number(timestamp) * 1000) > ageMsMax) return false
  const expected = createHmac('sha256', key).update(`${String(id)}.${String(timestamp)}.${body}`).digest()
  return signatures.split(' ').some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ''), 'base64')
    return given.length === expected.length && timingSafeEqual(given, expected)
  })
}
