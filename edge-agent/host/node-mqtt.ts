import { isIP, type Socket } from 'node:net'
import { connect as connectTls, getCACertificates } from 'node:tls'
import { connect, MqttClient, type IClientOptions } from 'mqtt'
import type { MqttConnection, MqttOptions, MqttTls } from './host.ts'
import { noProxy, openTunnel, proxyFor, type Destination, type ProxySettings } from './node-proxy.ts'

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

const ports: Record<string, number> = { 'mqtt:': 1883, 'mqtts:': 8883, 'ws:': 80, 'wss:': 443 }

function destinationOf(url: URL): Destination {
  const secure = url.protocol === 'mqtts:' || url.protocol === 'wss:'
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? (ports[url.protocol] ?? 1883) : Number(url.port), secure }
}

/** An authority of the broker's own is believed beside those that this machine believes anyway: a proxy may look into TLS. */
function tlsOptions(tls: MqttTls | undefined): { cert?: string; key?: string; ca?: string[] } {
  if (tls === undefined) return {}
  return { cert: tls.certificate, key: tls.privateKey, ...(tls.authority === null ? {} : { ca: [tls.authority, ...getCACertificates('default')] }) }
}

/** In its time or not at all: behind a tunnel that was opened there may be nobody who answers. */
function startTls(socket: Socket, { host }: Destination, tls: MqttTls | undefined, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const secured = connectTls({ socket, host, ...(isIP(host) === 0 ? { servername: host } : {}), ...tlsOptions(tls) })
    const patience = setTimeout(() => secured.destroy(new Error(`no TLS within ${timeoutMs} ms`)), timeoutMs)
    secured.once('error', reject)
    secured.once('close', () => clearTimeout(patience))
    secured.once('secureConnect', () => {
      clearTimeout(patience)
      secured.off('error', reject)
      resolve(secured)
    })
  })
}

/** A client whose bytes go through a proxy, as far as the destination's TLS. */
async function connectThrough(proxy: URL, destination: Destination, options: MqttOptions, settings: IClientOptions): Promise<MqttClient> {
  const tunnel = await openTunnel(proxy, destination)
  const stream = destination.secure ? await startTls(tunnel, destination, options.tls, settings.connectTimeout ?? connectMs).catch((error: Error) => {
    tunnel.destroy()
    throw new Error(`MQTT ${options.url}: ${explain(error)}`, { cause: error })
  }) : tunnel
  return options.url.startsWith('ws') ? connect(options.url, { ...settings, wsOptions: { createConnection: () => stream } }) : new MqttClient(() => stream, settings)
}

/**
 * One MQTT 3.1.1 connection with a clean session, QoS 1 throughout, that is not reopened when it goes; through the proxy
 * of the environment where there is one for its URL (HTTPS_PROXY for mqtts and wss, HTTP_PROXY for mqtt and ws).
 */
export const createNodeMqtt = (proxies: ProxySettings, connectTimeout = connectMs) => async (options: MqttOptions): Promise<MqttConnection> => {
  const settings: IClientOptions = {
    protocolVersion: 4, clean: true, reconnectPeriod: 0, resubscribe: false, connectTimeout,
    clientId: options.clientId, username: options.username, password: options.password, keepalive: options.keepAliveS,
    will: { topic: options.will.topic, payload: Buffer.from(options.will.payload), qos: 1, retain: false },
  }
  const destination = destinationOf(new URL(options.url))
  const proxy = proxyFor(proxies, destination)
  const client = proxy === null ? connect(options.url, { ...settings, ...tlsOptions(options.tls) }) : await connectThrough(proxy, destination, options, settings)
  await opened(client, options.url)
  return connectionOf(client)
}

/** The same without a proxy. */
export const nodeMqtt = createNodeMqtt(noProxy)
