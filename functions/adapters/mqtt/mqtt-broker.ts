import { toHex } from '../../../protocol/bytes.ts'
import type { Crypto } from '../../../protocol/crypto.ts'
import { FleetError } from '../../../protocol/errors.ts'
import { SiteId, type FleetId } from '../../../protocol/ids.ts'
import type { Broker, OutgoingMessages } from '../../ports/broker.ts'
import type { Ids } from '../../ports/ids.ts'
import type { Log } from '../../ports/log.ts'
import { brokerCredentials } from '../broker-password.ts'
import { createMosquittoRegistrar } from './mosquitto-registrar.ts'
import { openConnection, type BrokerAccess, type MqttLink } from './open-connection.ts'

export type MqttBrokerOptions = BrokerAccess & {
  fleet: FleetId
  ingestSecret: Uint8Array
  crypto: Crypto
  ids: Ids
  log: Log
  /** How sites reach the broker, which may differ from how the controller does. */
  sitesUrl: string
  /** Whether this controller tells the broker who may connect, and in whose language; `none` where somebody else does. */
  registrar?: 'none' | 'mosquitto'
  /** One connection for each call instead of one that is kept: for Workers, where none outlives its request. */
  perCall?: boolean
  /** For connecting, and again for the publishing of one call. */
  timeoutMs?: number
}

const inFlightMax = 100

/** Any MQTT broker by its URL. What the broker has not acknowledged in time is left out of the answer, and so tried again. */
export function createMqttBroker(options: MqttBrokerOptions): Broker & { close(): Promise<void> } {
  const { fleet, crypto, ingestSecret, log, perCall = false, timeoutMs = 10_000 } = options
  let kept: Promise<MqttLink> | null = null
  let fault: string | null = null

  function open(): Promise<MqttLink> {
    if (!perCall && kept !== null) return kept
    const opening = openConnection(options, `${fleet}-controller-${toHex(options.ids.secret(6))}`, timeoutMs)
    if (perCall) return opening
    const forget = (): void => {
      if (kept === opening) kept = null
    }
    kept = opening
    opening.then(({ gone }) => gone.then(forget), forget)
    return opening
  }

  const end = async ({ client, gone }: MqttLink): Promise<void> => {
    client.end(false)
    if (!(await within(gone, 1000))) client.end(true)
  }

  async function withLink<T>(work: (link: MqttLink) => Promise<T>): Promise<T> {
    const link = await open().catch((cause: unknown) => {
      throw new FleetError('unavailable', `the broker does not answer: ${cause instanceof Error ? cause.message : String(cause)}`, { reason: 'broker', cause })
    })
    try {
      const result = await work(link)
      if (perCall) await end(link)
      return result
    } catch (error) {
      link.client.end(true)
      throw error
    }
  }
  const registrar = options.registrar === 'mosquitto' ? createMosquittoRegistrar({ fleet, ids: options.ids, username: options.username, timeoutMs, withLink }) : null

  return {
    async publish(messages) {
      fault = null
      const link = await open().catch((error: unknown) => {
        fault = error instanceof Error ? error.message : String(error)
        log.write('warn', 'broker.unreachable', { detail: fault })
        return null
      })
      if (link === null) return new Set()
      const acknowledged = new Set<string>()
      const inTime = await within(Promise.race([publishAll(link, messages, acknowledged), link.gone]), timeoutMs)
      // a connection that does not answer is worth nothing, and would answer the next call no better
      if (!inTime) link.client.end(true)
      else if (perCall) await end(link)
      return new Set(acknowledged)
    },
    fault: () => fault,
    async admit(site, incarnation) {
      const credentials = await brokerCredentials(crypto, ingestSecret, fleet, SiteId.parse(site), incarnation, options.sitesUrl)
      await registrar?.admit(credentials)
      return credentials
    },
    async expel(site) {
      await registrar?.expel(site)
    },
    async close() {
      const link = await kept?.catch(() => undefined)
      if (link !== undefined) await end(link)
    },
  }
}

/** In the order given, a bounded number at a time. */
async function publishAll({ client }: MqttLink, messages: OutgoingMessages, acknowledged: Set<string>): Promise<void> {
  const inFlight = new Set<Promise<unknown>>()
  for await (const { key, topic, payload, retain } of messages) {
    if (inFlight.size >= inFlightMax) await Promise.race(inFlight)
    // nothing more is made for a connection that is over
    if (!client.connected) return
    const noted = client.publishAsync(topic, payload as Buffer, { qos: 1, retain }).then(() => acknowledged.add(key), () => undefined)
    inFlight.add(noted)
    void noted.then(() => inFlight.delete(noted))
  }
  await Promise.all(inFlight)
}

/** Whether `work` ended within the time; it is not stopped. */
async function within(work: Promise<unknown>, spanMs: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeUp = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), spanMs)))
  try {
    return await Promise.race([work.then(() => true), timeUp])
  } finally {
    clearTimeout(timer)
  }
}
