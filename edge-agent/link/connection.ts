import { toHex } from '../../protocol/bytes.ts'
import type { ConnectionId } from '../../protocol/ids.ts'
import type { Host, MqttConnection, MqttMessage, MqttOptions } from '../host/host.ts'
import { explain, type Log } from '../log.ts'
import type { SpooledReport } from '../report/spool.ts'
import { createWake } from '../wake.ts'
import { backoffMs } from './backoff.ts'

/** A connection that lasted less counts as a failure: two agents with one name must not throw each other out all day (F41). */
const steadyMs = 60_000
/** Failures in a row after which broker credentials are asked for anew. */
const renewAfter = 3

/** How long a goodbye may take. */
const goodbyeMs = 2000

/** How to get into the broker: by a password, or where it knows sites by certificates by one of these. */
export type BrokerAccess = Pick<MqttOptions, 'url' | 'clientId' | 'username' | 'password' | 'tls'>
export type ConnectionParts = {
  host: Host
  log: Log
  /** Asked before each connection. */
  broker: () => Promise<BrokerAccess>
  keepAliveS: number
  reconnectMsMax: number
  subscriptions: readonly string[]
  /** Asked for each report: an enrolment that was renewed may name another. */
  reportTopic: () => string
  presenceTopic: string
  /** A sealed `gone` for a connection: the last will, and the goodbye. */
  goneFor(connectionId: ConnectionId): Promise<Uint8Array>
  /** Connected and subscribed. */
  onConnected(connectionId: ConnectionId): Promise<void>
  onMessage(message: MqttMessage): void
  /** Several tries failed: perhaps the credentials were rotated. */
  renew(): Promise<void>
  outgoing: { take(): SpooledReport | null; acknowledged(report: SpooledReport): Promise<void>; /** Null: it is not to be sent. */ seal(report: SpooledReport): Promise<Uint8Array | null> }
}

export interface Connection {
  /** Connects, and connects again, until the signal; then says goodbye. */
  run(signal: AbortSignal): Promise<void>
  /** Something waits to be sent. */
  ring(): void
  /** Ends this connection in good order, for another one by the access there is now. */
  connectAnew(why: string): void
  readonly connectionId: ConnectionId | null
}

export function createConnection(parts: ConnectionParts): Connection {
  const { host, log } = parts
  const wake = createWake()
  let connectionId: ConnectionId | null = null
  let closed = new AbortController()

  async function sendAll(connection: MqttConnection, signal: AbortSignal): Promise<never> {
    for (;;) {
      for (let report = parts.outgoing.take(); report !== null; report = parts.outgoing.take()) {
        signal.throwIfAborted()
        const payload = await parts.outgoing.seal(report)
        if (payload !== null) await connection.publish(parts.reportTopic(), payload)
        await parts.outgoing.acknowledged(report)
      }
      await wake.wait(signal)
    }
  }

  /** One connection from its beginning to its end; throws for whatever reason it ended. */
  async function serve(signal: AbortSignal): Promise<never> {
    const id = toHex(host.random.bytes(16)) as ConnectionId
    const gone = await parts.goneFor(id)
    const over = new AbortController()
    const either = AbortSignal.any([signal, over.signal])
    closed = over
    const connection = await orAborted(host.network.mqtt({ ...(await parts.broker()), keepAliveS: parts.keepAliveS, will: { topic: parts.presenceTopic, payload: gone } }), either)
    connection.onClose(() => over.abort(new Error('the connection is gone')))
    try {
      connection.onMessage(parts.onMessage)
      await connection.subscribe(parts.subscriptions)
      connectionId = id
      await parts.onConnected(id)
      return await sendAll(connection, either)
    } finally {
      connectionId = null
      if (signal.aborted && !over.signal.aborted) await Promise.race([connection.publish(parts.presenceTopic, gone).catch(() => undefined), host.clock.sleep(goodbyeMs)])
      await connection.close().catch(() => undefined)
    }
  }

  return {
    get connectionId() {
      return connectionId
    },
    ring: wake.ring,
    connectAnew: (why) => closed.abort(new Error(why)),
    async run(signal) {
      for (let failures = 0; ; ) {
        const startedMs = host.clock.monotonicMs()
        try {
          await serve(signal)
        } catch (error) {
          if (signal.aborted) return
          failures = host.clock.monotonicMs() - startedMs >= steadyMs ? 1 : failures + 1
          log('warn', 'disconnected', { failures, error: explain(error) })
        }
        if (failures % renewAfter === 0) await parts.renew().catch((error: unknown) => log('warn', 'enrolment-not-renewed', { error: explain(error) }))
        await host.clock.sleep(backoffMs(failures, { base: 500, max: parts.reconnectMsMax }, host.random), signal).catch(() => undefined)
        if (signal.aborted) return
      }
    },
  }
}

/** The connection, unless the signal comes first; one that comes too late is closed. */
function orAborted(connecting: Promise<MqttConnection>, signal: AbortSignal): Promise<MqttConnection> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(signal.reason as Error)
      void connecting.then((late) => late.close()).catch(() => undefined)
    }
    signal.addEventListener('abort', stop, { once: true })
    connecting.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
