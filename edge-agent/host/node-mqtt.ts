import { connect, type MqttClient } from 'mqtt'
import type { MqttConnection, MqttOptions } from './host.ts'

const connectMs = 30_000
/** How long a goodbye may take before the connection is simply dropped. */
const goodbyeMs = 2000
/** What a broker answers for a topic that a client may not subscribe to. */
const subscriptionRefused = 128

const explain = (error: Error): string => error.message || (error as NodeJS.ErrnoException).code || error.name

function opened(client: MqttClient, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let last = 'the connection was closed before the broker answered'
    const fail = (): void => {
      client.end(true)
      reject(new Error(`MQTT ${url}: ${last}`))
    }
    client.once('connect', () => {
      client.off('close', fail)
      resolve()
    })
    // Stays on for the connection's life: an error without a listener would end the process; `close` follows each.
    client.on('error', (error) => {
      last = explain(error)
      if (!client.connected) fail()
    })
    client.once('close', fail)
  })
}

function connectionOf(client: MqttClient): MqttConnection {
  let closed = false
  const gone = new Promise<void>((resolve) => {
    client.once('close', () => {
      closed = true
      client.end(true)
      resolve()
    })
  })
  /** The library never answers for what was in flight when a connection that is not to come back went. */
  const whileOpen = <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const lost = (): never => {
      throw new Error(`MQTT ${what}: the connection is closed`)
    }
    return closed ? Promise.resolve().then(lost) : Promise.race([work(), gone.then(lost)])
  }
  return {
    publish: (topic, payload) => whileOpen('publish', async () => void (await client.publishAsync(topic, Buffer.from(payload), { qos: 1, retain: false }))),
    subscribe: (topics) =>
      whileOpen('subscribe', async () => {
        const grants = await client.subscribeAsync([...topics], { qos: 1 })
        const refused = grants.filter((grant) => grant.qos === subscriptionRefused)
        if (refused.length > 0) throw new Error(`MQTT subscribe: refused ${refused.map((grant) => grant.topic).join(', ')}`)
      }),
    onMessage: (handler) => void client.on('message', (topic, payload, packet) => handler({ topic, payload: new Uint8Array(payload), retained: packet.retain })),
    onClose: (handler) => void gone.then(handler),
    async close() {
      if (closed) return
      const patience = setTimeout(() => client.end(true), goodbyeMs)
      client.end(false)
      await gone
      clearTimeout(patience)
    },
  }
}

/** One MQTT 3.1.1 connection with a clean session, QoS 1 throughout, that is not reopened when it goes. */
export async function nodeMqtt(options: MqttOptions): Promise<MqttConnection> {
  const client = connect(options.url, {
    protocolVersion: 4, clean: true, reconnectPeriod: 0, resubscribe: false, connectTimeout: connectMs,
    clientId: options.clientId, username: options.username, password: options.password, keepalive: options.keepAliveS,
    will: { topic: options.will.topic, payload: Buffer.from(options.will.payload), qos: 1, retain: false },
  })
  await opened(client, options.url)
  return connectionOf(client)
}
