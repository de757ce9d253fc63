// the build for Workers has the default export only
import mqtt, { type MqttClient } from 'mqtt'

/** How the controller gets into a broker: a URL (`mqtt`, `mqtts`, `ws` or `wss`) and what it is known by there. */
export type BrokerAccess = { url: string; username?: string | undefined; password?: string | undefined }

/** One connection; `gone` resolves when it is over, for whatever reason, and nothing in flight is answered after that. */
export type MqttLink = { client: MqttClient; gone: Promise<void> }

/** Opens one connection with a clean session that is not opened again when it goes. Rejects after `timeoutMs`. */
export function openConnection(access: BrokerAccess, clientId: string, timeoutMs: number): Promise<MqttLink> {
  const { url, username, password } = access
  const client = mqtt.connect(url, { protocolVersion: 4, clean: true, reconnectPeriod: 0, connectTimeout: timeoutMs, clientId, username, password })
  // each call that waits for an answer listens for it
  client.setMaxListeners(0)
  const gone = new Promise<void>((resolve) => client.once('close', () => resolve()))
  return new Promise((resolve, reject) => {
    let last = 'the connection was closed before the broker answered'
    client.once('connect', () => resolve({ client, gone }))
    // stays on: an error without a listener would end the process; `close` follows each
    client.on('error', (error) => {
      last = error.message || (error as NodeJS.ErrnoException).code || error.name
      client.end(true)
    })
    void gone.then(() => {
      client.end(true)
      reject(new Error(`${new URL(url).host}: ${last}`))
    })
  })
}

/** The broker lets this user in, and not hear that. */
export class SubscriptionRefused extends Error {}
const refusedQos = 128

/** Subscribes with QoS 1. Rejects with SubscriptionRefused, which names what the broker refuses, or when the connection goes. */
export async function subscribeTo(client: MqttClient, topics: string[]): Promise<void> {
  try {
    await client.subscribeAsync(topics, { qos: 1 })
  } catch (error) {
    const granted = (error as { packet?: { granted?: number[] } }).packet?.granted
    if (granted === undefined) throw error
    throw new SubscriptionRefused(`the broker refuses ${topics.filter((_, i) => granted[i] === refusedQos).join(', ')} to this user`)
  }
}
