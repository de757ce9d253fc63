import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { nodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import type { MqttConnection, MqttMessage } from '../../edge-agent/host/host.ts'
import type { GapCause, IncomingMessage, ReportSink, ReportSubscriber } from '../../functions/adapters/mqtt/batch-reports.ts'
import type { Broker, BrokerCredentials, OutgoingMessage } from '../../functions/ports/broker.ts'
import { utf8, fromUtf8 } from '../../protocol/bytes.ts'
import type { DownTopic, UpTopic } from '../../protocol/topics.ts'
import { probeTopic, rollCallTopic, siteTopic } from '../../protocol/topics.ts'
import type { FleetId, SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'

export const fleet = 'flock' as FleetId
/** A broker with what only its own kind can do. `admit` and `expel` also do what the controller's database or an operator would. */
export type BrokerUnderTest = {
  broker: Broker
  admit(site: string, incarnation: number): Promise<BrokerCredentials>
  expel(site: string): Promise<void>
  createSubscriber(sink: ReportSink): ReportSubscriber
  /** Ends the broker and starts it again at the same place; it remembers nothing. Subscribers that listened listen again. */
  restart(): Promise<void>
  /** Ends the broker for good. */
  end(): Promise<void>
  dispose(): Promise<void>
}
/** A sink that takes with `take` and notes the gaps it is told of. */
export const sinkOf = (take: ReportSink['take'], gaps: GapCause[] = []): ReportSink => ({ take, gap: async (cause) => void gaps.push(cause) })
export type MakeBroker = () => Promise<BrokerUnderTest>

const north = 'north' as SiteId
const south = 'south' as SiteId
const topicOf = (site: SiteId, topic: DownTopic | UpTopic): string => siteTopic(fleet, site, topic)
const message = (site: SiteId, topic: DownTopic, text: string, key = text): OutgoingMessage => ({ key, topic: topicOf(site, topic), payload: utf8(text), retain: topic === 'desired' })

/** Resolves once `what` holds; the test's own time limit ends the wait. */
export async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** What every broker does for the controller, without anyone connected to it. */
export function runBrokerPortCases(name: string, makeBroker: () => Promise<{ broker: Broker; dispose(): Promise<void> }>): void {
  describe(`the port, with ${name}`, () => {
    test('a message that was published is acknowledged under its key', async () => {
      const { broker, dispose } = await makeBroker()
      expect(await broker.publish([message(north, 'grant', 'a'), message(south, 'desired', 'b')])).toEqual(new Set(['a', 'b']))
      expect(await broker.publish([])).toEqual(new Set())
      await dispose()
    })
    test('each incarnation of a site has credentials of its own, and the same ones each time', async () => {
      const { broker, dispose } = await makeBroker()
      const [first, second, again] = [await broker.admit(north, 1), await broker.admit(north, 2), await broker.admit(north, 2)]
      expect(first.password).not.toBe(second.password)
      expect(again).toEqual(second)
      expect(second).toMatchObject({ clientId: north, username: north })
      await dispose()
    })
  })
}

/** What every broker does for sites and controller that are connected to it over the network. */
export function runBrokerCases(name: string, makeBroker: MakeBroker): void {
  const undo: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step()
  })
  const make = async (): Promise<BrokerUnderTest> => {
    const made = await makeBroker()
    undo.push(() => made.dispose())
    return made
  }
  const connectSite = async (credentials: BrokerCredentials): Promise<MqttConnection & { received: MqttMessage[] }> => {
    const will = { topic: topicOf(credentials.username as SiteId, 'presence'), payload: utf8('gone') }
    const connection = await nodeMqtt({ ...credentials, keepAliveS: 30, will })
    undo.push(() => connection.close())
    const received: MqttMessage[] = []
    connection.onMessage((each) => received.push(each))
    return Object.assign(connection, { received })
  }
  const listen = async (made: BrokerUnderTest, take?: ReportSink['take'], gaps: GapCause[] = []): Promise<IncomingMessage[]> => {
    const heard: IncomingMessage[] = []
    const subscriber = made.createSubscriber(sinkOf(take ?? (async (batch) => void heard.push(...batch)), gaps))
    undo.push(() => subscriber.stop())
    await subscriber.start()
    return heard
  }
  const textsOf = (messages: readonly IncomingMessage[]): string[] => messages.map(({ payload }) => fromUtf8(payload))

  describe(name, () => {
    runBrokerPortCases(name, makeBroker)

    test('a site gets what is published to its own topics, and a desired also when it connects later', async () => {
      const made = await make()
      await made.broker.publish([message(north, 'desired', 'what'), message(south, 'desired', 'other')])
      const site = await connectSite(await made.admit(north, 1))
      await site.subscribe([topicOf(north, 'desired'), topicOf(north, 'grant')])
      await until(() => site.received.length === 1)
      await made.broker.publish([message(north, 'grant', 'when'), message(south, 'grant', 'other')])
      await until(() => site.received.length === 2)
      expect(site.received.map(({ topic, payload, retained }) => [topic, fromUtf8(payload), retained])).toEqual([
        [topicOf(north, 'desired'), 'what', true],
        [topicOf(north, 'grant'), 'when', false],
      ])
    })

    test('desireds and grants that go out together all reach a site that is connected, each topic in its order', async () => {
      const made = await make()
      const site = await connectSite(await made.admit(north, 1))
      await site.subscribe([topicOf(north, 'desired'), topicOf(north, 'grant')])
      const rounds = Array.from({ length: 20 }, (_, i) => [message(north, 'desired', `what ${i}`), message(north, 'grant', `when ${i}`)])
      // some in one call, some in calls that overlap
      await Promise.all([made.broker.publish(rounds.slice(0, 10).flat()), ...rounds.slice(10).map((both) => made.broker.publish(both))])
      await until(() => site.received.length === 2 * rounds.length)
      for (const topic of ['desired', 'grant'] as const) {
        const texts = textsOf(site.received.filter((each) => each.topic === topicOf(north, topic)))
        expect(texts.slice().sort()).toEqual(rounds.flat().filter((each) => each.topic === topicOf(north, topic)).map(({ key }) => key).sort())
        expect(texts.filter((text) => / \d$/.test(text))).toEqual(rounds.slice(0, 10).flat().filter((each) => each.topic === topicOf(north, topic)).map(({ key }) => key))
      }
      expect(site.received.some(({ retained }) => retained)).toBe(false)
    })

    test('a wrong password, another client id, an unknown name, an older incarnation and an expelled site are refused', async () => {
      const made = await make()
      const first = await made.admit(north, 1)
      await (await connectSite(first)).close()
      await expect(connectSite({ ...first, password: 'wrong' })).rejects.toThrow()
      await expect(connectSite({ ...first, username: 'nobody' })).rejects.toThrow()
      const second = await made.admit(north, 2)
      await expect(connectSite(first)).rejects.toThrow()
      await (await connectSite(second)).close()
      await made.expel(north)
      await expect(connectSite(second)).rejects.toThrow()
    })

    test('an incarnation that has been followed by another is shut out at once, and so is an expelled site (F31)', async () => {
      const made = await make()
      const over = (connection: MqttConnection): Promise<void> => new Promise((resolve) => connection.onClose(resolve))
      const first = over(await connectSite(await made.admit(north, 1)))
      const second = await made.admit(north, 2)
      await first
      const successor = over(await connectSite(second))
      const bystander = await connectSite(await made.admit(south, 1))
      await made.expel(north)
      await successor
      // twice, and for one that never was: no harm
      await made.expel(north)
      await made.expel('west')
      await bystander.subscribe([topicOf(south, 'desired')])
      await (await connectSite(await made.admit(north, 3))).subscribe([topicOf(north, 'desired')])
    })

    test('a site neither reads nor writes the topics of another, whatever wildcards it uses (F39, F40)', async () => {
      const made = await make()
      const heard = await listen(made)
      const nosy = await connectSite(await made.admit(north, 1))
      const filters = ['#', '+/#', '$SYS/#', '$CONTROL/#', '$CONTROL/dynamic-security/v1/response', `murmur/v1/${fleet}/sites/+/desired`, `murmur/v1/${fleet}/#`, topicOf(south, 'desired'), topicOf(south, 'report'), `$share/x/${topicOf(south, 'desired')}`, `$share/x/murmur/#`]
      for (const filter of filters) await nosy.subscribe([filter]).catch(() => undefined)
      await made.broker.publish([message(south, 'desired', 'secret'), message(south, 'grant', 'secret')])
      const honest = await connectSite(await made.admit(south, 1))
      await honest.subscribe([topicOf(south, 'desired')])
      await until(() => honest.received.length === 1)
      expect(nosy.received.filter(({ payload }) => fromUtf8(payload) === 'secret')).toEqual([])

      await honest.subscribe([rollCallTopic(fleet), topicOf(south, 'grant'), topicOf(south, 'command')])
      const forgeries = [topicOf(south, 'report'), topicOf(south, 'presence'), topicOf(south, 'desired'), topicOf(south, 'grant'), topicOf(north, 'command'), rollCallTopic(fleet), probeTopic(fleet)]
      for (const topic of forgeries) {
        const forger = await connectSite(await made.admit(north, 1))
        await forger.publish(topic, utf8('forged')).catch(() => undefined)
      }
      const usurper = await connectSite(await made.admit(north, 1))
      await usurper.publish('$CONTROL/dynamic-security/v1', utf8('{"commands":[{"command":"deleteClient","username":"south"}]}')).catch(() => undefined)
      await honest.publish(topicOf(south, 'report'), utf8('honest'))
      await until(() => textsOf(heard).includes('honest'))
      expect(textsOf(heard)).not.toContain('forged')
      expect(honest.received.map(({ payload }) => fromUtf8(payload))).not.toContain('forged')
    })

    test('reports reach the sink in their order, in batches, and a batch that the sink refused comes again', async () => {
      const made = await make()
      const heard: string[] = []
      let refusals = 2
      await listen(made, async (batch) => {
        if (refusals-- > 0) throw new Error('the database is away')
        heard.push(...textsOf(batch))
      })
      const site = await connectSite(await made.admit(north, 1))
      const wanted = Array.from({ length: 200 }, (_, i) => `report ${i}`)
      await Promise.all(wanted.map((text) => site.publish(topicOf(north, 'report'), utf8(text))))
      await until(() => heard.length >= wanted.length)
      expect(heard).toEqual(wanted)
    })

    test('the last will of a site whose connection breaks reaches the sink', async () => {
      const made = await make()
      const heard = await listen(made)
      const credentials = await made.admit(north, 1)
      await connectSite(credentials)
      // a second connection of the same client drives the first one out, and its will is published
      await connectSite(credentials)
      await until(() => heard.length > 0)
      expect(heard.map(({ topic }) => topic)).toEqual([topicOf(north, 'presence')])
    })

    test('whoever begins to listen tells of the gap first, and then asks all sites for a hello', async () => {
      const made = await make()
      const site = await connectSite(await made.admit(north, 1))
      await site.subscribe([rollCallTopic(fleet)])
      const calledAtGap: number[] = []
      let refusals = 2
      const subscriber = made.createSubscriber({
        take: async () => undefined,
        gap: async () => {
          if (refusals-- > 0) throw new Error('the database is away')
          calledAtGap.push(site.received.length)
        },
      })
      undo.push(() => subscriber.stop())
      await subscriber.start()
      await until(() => site.received.length > 0)
      expect(site.received.map(({ topic }) => topic)).toEqual([rollCallTopic(fleet)])
      expect(calledAtGap).toEqual([0])
    })

    test("the controller's probe comes back to it as reports do, and reaches no site", async () => {
      const made = await make()
      const heard = await listen(made)
      const site = await connectSite(await made.admit(north, 1))
      await site.subscribe([topicOf(north, 'grant'), rollCallTopic(fleet)])
      expect(await made.broker.publish([{ key: 'probe', topic: probeTopic(fleet), payload: utf8('are you there'), retain: false }, message(north, 'grant', 'when')])).toEqual(new Set(['probe', 'when']))
      await until(() => heard.length > 0 && site.received.length > 0)
      expect(heard.map(({ topic, payload }) => [topic, fromUtf8(payload)])).toEqual([[probeTopic(fleet), 'are you there']])
      expect(textsOf(site.received)).toEqual(['when'])
    })

    test('what a sink is slow to take stays with the broker or the site, and none of it is lost', async () => {
      const made = await make()
      const heard: string[] = []
      let release: () => void = () => undefined
      const released = new Promise<void>((resolve) => (release = resolve))
      await listen(made, async (batch) => {
        await released
        heard.push(...textsOf(batch))
      })
      const site = await connectSite(await made.admit(north, 1))
      const wanted = Array.from({ length: 1500 }, (_, i) => `report ${i}`)
      const published = Promise.all(wanted.map((text) => site.publish(topicOf(north, 'report'), utf8(text))))
      // something has been handed over, and the sink sits on it
      await new Promise((resolve) => setTimeout(resolve, 200))
      expect(heard).toEqual([])
      release()
      await published
      await until(() => heard.length >= wanted.length)
      expect(heard).toEqual(wanted)
    })

    test('a broker that goes in the middle of a publish ends it: only what it acknowledged counts as sent', async () => {
      const made = await make()
      const sent: string[] = []
      async function* messages(): AsyncGenerator<OutgoingMessage> {
        for (let i = 0; i < 400; i++) {
          if (i === 300) await made.end()
          sent.push(`directive ${i}`)
          yield message(north, 'command', `directive ${i}`)
        }
      }
      const acknowledged = await made.broker.publish(messages())
      expect([...acknowledged].every((key) => sent.indexOf(key) < 300)).toBe(true)
      expect(await made.broker.publish([message(north, 'command', 'later')])).toEqual(new Set())
      // the next answer is as bounded when somebody has to be let in
      await made.admit(north, 2).then(() => undefined, (error: unknown) => expect(error).toMatchObject({ code: 'unavailable' }))
    })

    test('after the broker has started anew, sites come back, are reached and are heard (F43)', async () => {
      const made = await make()
      const heard = await listen(made)
      const credentials = await made.admit(north, 1)
      const before = await connectSite(credentials)
      await before.publish(topicOf(north, 'report'), utf8('before'))
      await until(() => textsOf(heard).includes('before'))
      await made.restart()
      const site = await connectSite(credentials)
      await site.subscribe([topicOf(north, 'grant')])
      // what is not acknowledged, the controller sends again
      while ((await made.broker.publish([message(north, 'grant', 'again')])).size === 0) continue
      await until(() => textsOf(site.received).includes('again'))
      // a listener that is not back yet misses what is said meanwhile: that is what the roll call is for
      const saying = setInterval(() => void site.publish(topicOf(north, 'report'), utf8('after')).catch(() => undefined), 20)
      undo.push(async () => clearInterval(saying))
      await until(() => textsOf(heard).includes('after'))
    })

    test('a report that is too long is not taken, and hurts nobody else (F44)', async () => {
      const made = await make()
      const heard = await listen(made)
      const flooder = await connectSite(await made.admit(north, 1))
      const honest = await connectSite(await made.admit(south, 1))
      await flooder.publish(topicOf(north, 'report'), new Uint8Array(limits.mqttMessageBytesMax + 1)).catch(() => undefined)
      const again = await connectSite(await made.admit(north, 1))
      await again.publish(topicOf(north, 'report'), new Uint8Array(20 * limits.mqttMessageBytesMax)).catch(() => undefined)
      await honest.publish(topicOf(south, 'report'), utf8('honest'))
      await until(() => textsOf(heard).includes('honest'))
      expect(heard.filter(({ payload }) => payload.length > limits.mqttMessageBytesMax)).toEqual([])
    })

    test('bytes that are not MQTT end their own connection and nothing else (F45)', async () => {
      const made = await make()
      const credentials = await made.admit(north, 1)
      const { hostname, port } = new URL(credentials.url)
      const junk = [Uint8Array.of(0x00), Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0xff, 0xff), Uint8Array.of(0x30, 0x02, 0x00), utf8('GET / HTTP/1.1\r\n\r\n')]
      for (const bytes of junk) {
        const socket = connect(Number(port), hostname)
        await new Promise<void>((resolve) => socket.on('error', () => resolve()).on('connect', () => socket.end(bytes, () => resolve())))
        socket.destroy()
      }
      await connectSite(credentials)
    })

    test('thousands of messages are published in one call', async () => {
      const made = await make()
      const site = await connectSite(await made.admit(north, 1))
      await site.subscribe([topicOf(north, 'command')])
      const messages = Array.from({ length: 2000 }, (_, i) => message(i % 2 === 0 ? north : south, 'command', `directive ${i}`))
      expect((await made.broker.publish(messages)).size).toBe(messages.length)
      await until(() => site.received.length === 1000)
      expect(textsOf(site.received)).toEqual(messages.filter((_, i) => i % 2 === 0).map(({ key }) => key))
    })
  })
}
