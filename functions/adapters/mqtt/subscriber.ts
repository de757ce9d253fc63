import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import type { FleetId } from '../../../protocol/ids.ts'
import { limits } from '../../../protocol/limits.ts'
import { controllerSubscriptions, rollCallTopic } from '../../../protocol/topics.ts'
import type { Log } from '../../ports/log.ts'
import { pause } from '../pause.ts'
import { createReportBatcher, type ReportBatcher, type ReportSink, type ReportSubscriber } from './batch-reports.ts'
import { subscribeTo, type BrokerAccess } from './open-connection.ts'

export type SubscriberOptions = BrokerAccess & {
  fleet: FleetId
  /** Names the session that the broker keeps while nobody listens; two subscribers of one name would drive each other out. */
  clientId: string
  /** Subscribers of one group divide the reports among them (`$share/{group}/…`); without one each gets every report. */
  group?: string | undefined
  sink: ReportSink
  log: Log
  /** Pause between two tries to connect. */
  reconnectMs?: number
  /** How long a report waits for company. */
  companyMs?: number
}

const heldMax = 2 * limits.ingestBatchMax
const heldBytesMax = 2 * limits.ingestBodyBytesMax
const connectMs = 10_000
const endMs = 1000

/**
 * Listens to all sites of a fleet at an MQTT broker, in a session that the broker keeps. A message is acknowledged
 * when the sink has taken it and not before, so that a sink that is away, or a kill, loses nothing that the broker still has.
 *
 * Each connection, the first as well as a later one, counts as a gap: a subscriber cannot tell a broken line from a broker
 * that started anew and published no last wills. The sink knows of it before the roll call goes out, so that every hello
 * it asks for counts. In a group each member tells of its own connections and sends its own roll call; a broker that
 * restarts is told of once by each, and a needless one (only that member's line broke) costs the sites a hello and no truth.
 */
export function createMqttSubscriber(options: SubscriberOptions): ReportSubscriber {
  const { fleet, group, log, sink, companyMs } = options
  let client: MqttClient | null = null
  let batcher: ReportBatcher | null = null
  let hasBegun = false

  async function listen(opened: MqttClient, told: ReportBatcher, lost: AbortSignal): Promise<void> {
    const every = controllerSubscriptions(fleet)
    await subscribeTo(opened, group === undefined ? every : every.map((topic) => `$share/${group}/${topic}`))
    // a session that was kept from before it joined the group would get every report besides its share
    if (group !== undefined) await opened.unsubscribeAsync(every)
    if (!(await told.gap(hasBegun ? 'reconnected' : 'started', lost))) return
    hasBegun = true
    await opened.publishAsync(rollCallTopic(fleet), '', { qos: 1 })
    log.write('info', 'subscriber.listening', { broker: new URL(options.url).host, group })
  }

  return {
    start: () =>
      new Promise((resolve) => {
        const { url, username, password, clientId, reconnectMs = 2000 } = options
        const settings: IClientOptions = { protocolVersion: 4, clean: false, clientId, username, password, reconnectPeriod: reconnectMs, connectTimeout: connectMs, resubscribe: false }
        const told = createReportBatcher({ sink, log, ...(companyMs === undefined ? {} : { companyMs }) })
        batcher = told
        client = connect(url, settings)
        acknowledgeWhenTaken(client, told)
        client.on('error', (error) => log.write('warn', 'subscriber.error', { detail: error.message || (error as NodeJS.ErrnoException).code }))
        client.on('connect', () => {
          const opened = client!
          const lost = new AbortController()
          opened.once('close', () => lost.abort())
          listen(opened, told, lost.signal).then(
            () => (hasBegun ? resolve() : undefined),
            (error: unknown) => {
              log.write('error', 'subscriber.refused', { detail: error instanceof Error ? error.message : String(error) })
              if (!lost.signal.aborted) opened.stream.destroy()
            },
          )
        })
      }),
    async stop() {
      await batcher?.stop()
      if (client !== null) await endOf(client)
    },
  }
}

/** A connection that is cut can take acknowledgements with it that were just sent, and the broker would send the messages again: so it is ended in order, where the broker lets it be. */
async function endOf(client: MqttClient): Promise<void> {
  const ended = new AbortController()
  void client.endAsync(false).finally(() => ended.abort()).catch(() => undefined)
  await pause(endMs, ended.signal)
  client.stream?.destroy()
}

type SendPacket = (packet: { cmd: string; messageId?: number }, done?: (error?: Error) => void, ...rest: unknown[]) => unknown

/**
 * The library acknowledges each message before it looks at the next, which would make batches of one. So its
 * acknowledgements are held back here: it goes on reading at once, and each is sent when the sink has taken its message,
 * unless the connection it came over is gone (the broker then sends the message again). When so much is held that has not
 * been taken, it stops reading: what comes next stays with the broker.
 */
function acknowledgeWhenTaken(client: MqttClient, batcher: ReportBatcher): void {
  const library = client as unknown as { _sendPacket: SendPacket }
  const send: SendPacket = library._sendPacket.bind(client)
  const taken = new Map<number, Promise<boolean>>()
  const held = { messages: 0, bytes: 0 }
  let connection = 0
  let readOn: (() => void) | null = null
  const mayRead = (): boolean => held.messages < heldMax && held.bytes < heldBytesMax
  const resume = (): void => {
    const next = readOn
    readOn = null
    next?.()
  }
  client.on('close', () => {
    connection++
    taken.clear()
    resume()
  })
  client.on('message', (topic, payload, packet) => {
    held.messages++
    held.bytes += payload.length
    const whether = batcher.add({ topic, payload: new Uint8Array(payload) }).then(() => true, () => false)
    if (packet.messageId !== undefined) taken.set(packet.messageId, whether)
    void whether.then(() => {
      held.messages--
      held.bytes -= payload.length
      if (mayRead()) resume()
    })
  })
  client.handleMessage = (_packet, done) => {
    if (mayRead()) return done()
    readOn = () => done()
  }
  library._sendPacket = (packet, done, ...rest) => {
    const whether = packet.cmd === 'puback' && packet.messageId !== undefined ? taken.get(packet.messageId) : undefined
    if (whether === undefined) return send(packet, done, ...rest)
    const mine = connection
    void whether.then((isTaken) => {
      if (mine !== connection) return
      taken.delete(packet.messageId!)
      if (isTaken) send(packet)
    })
    return done?.()
  }
}
