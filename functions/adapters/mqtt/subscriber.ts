import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import type { FleetId } from '../../../protocol/ids.ts'
import { limits } from '../../../protocol/limits.ts'
import { controllerSubscriptions, rollCallTopic } from '../../../protocol/topics.ts'
import type { Log } from '../../ports/log.ts'
import { createReportBatcher, type ReportBatcher, type ReportSink, type ReportSubscriber } from './batch-reports.ts'
import type { BrokerAccess } from './open-connection.ts'

export type SubscriberOptions = BrokerAccess & {
  fleet: FleetId
  /** Names the session that the broker keeps while nobody listens; two subscribers of one name would drive each other out. */
  clientId: string
  sink: ReportSink
  log: Log
  /** Pause between two tries to connect. */
  reconnectMs?: number
}

const unacknowledgedMax = 2 * limits.ingestBatchMax
const connectMs = 10_000
const refusedQos = 128

/**
 * Listens to all sites of a fleet at an MQTT broker, in a session that the broker keeps. A message is acknowledged
 * when the sink has taken it and not before, so that a sink that is away, or a kill, loses nothing that the broker still has.
 */
export function createMqttSubscriber(options: SubscriberOptions): ReportSubscriber {
  const { fleet, log, sink } = options
  let client: MqttClient | null = null
  let batcher: ReportBatcher | null = null

  async function listen(opened: MqttClient): Promise<void> {
    const grants = await opened.subscribeAsync(controllerSubscriptions(fleet), { qos: 1 })
    const refused = grants.filter((grant) => grant.qos === refusedQos).map((grant) => grant.topic)
    if (refused.length > 0) throw new Error(`the broker refuses ${refused.join(', ')} to this user`)
    await opened.publishAsync(rollCallTopic(fleet), '', { qos: 1 })
    log.write('info', 'subscriber.listening', { broker: new URL(options.url).host })
  }

  return {
    start: () =>
      new Promise((resolve) => {
        const { url, username, password, clientId, reconnectMs = 2000 } = options
        const settings: IClientOptions = { protocolVersion: 4, clean: false, clientId, username, password, reconnectPeriod: reconnectMs, connectTimeout: connectMs, resubscribe: false }
        batcher = createReportBatcher({ sink, log })
        client = connect(url, settings)
        acknowledgeWhenTaken(client, batcher)
        client.on('error', (error) => log.write('warn', 'subscriber.error', { detail: error.message || (error as NodeJS.ErrnoException).code }))
        client.on('connect', () => {
          const opened = client!
          listen(opened).then(resolve, (error: unknown) => {
            log.write('error', 'subscriber.refused', { detail: error instanceof Error ? error.message : String(error) })
            opened.stream.destroy()
          })
        })
      }),
    async stop() {
      await batcher?.stop()
      await client?.endAsync(true)
    },
  }
}

type SendPacket = (packet: { cmd: string; messageId?: number }, done?: (error?: Error) => void, ...rest: unknown[]) => unknown

/**
 * The library acknowledges each message before it looks at the next, which would make batches of one. So its
 * acknowledgements are held back here: it goes on reading at once, and each is sent when the sink has taken its message,
 * unless the connection it came over is gone (the broker then sends the message again).
 */
function acknowledgeWhenTaken(client: MqttClient, batcher: ReportBatcher): void {
  const library = client as unknown as { _sendPacket: SendPacket }
  const send: SendPacket = library._sendPacket.bind(client)
  const taken = new Map<number, Promise<boolean>>()
  let connection = 0
  let resume: (() => void) | null = null
  client.on('close', () => {
    connection++
    taken.clear()
    resume?.()
  })
  client.on('message', (topic, payload, packet) => {
    const whether = batcher.add({ topic, payload: new Uint8Array(payload) }).then(() => true, () => false)
    if (packet.messageId !== undefined) taken.set(packet.messageId, whether)
  })
  library._sendPacket = (packet, done, ...rest) => {
    const whether = packet.cmd === 'puback' && packet.messageId !== undefined ? taken.get(packet.messageId) : undefined
    if (whether === undefined) return send(packet, done, ...rest)
    const mine = connection
    void whether.then((isTaken) => {
      if (mine !== connection) return
      taken.delete(packet.messageId!)
      if (isTaken) send(packet)
      resume?.()
    })
    if (taken.size < unacknowledgedMax) return done?.()
    resume = () => {
      resume = null
      done?.()
    }
    return undefined
  }
}
