import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMqttBroker, type MqttBrokerOptions } from '../../functions/adapters/mqtt/mqtt-broker.ts'
import type { BrokerAccess } from '../../functions/adapters/mqtt/open-connection.ts'
import { createMqttSubscriber, type SubscriberOptions } from '../../functions/adapters/mqtt/subscriber.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import type { FleetId } from '../../protocol/ids.ts'
import { controllerUser, startMosquitto, type Mosquitto } from '../support/start-mosquitto.ts'
import { fleet as flock, type BrokerUnderTest } from './broker.cases.ts'

const password = 'of the controller itself'
const log = { write: () => undefined }

export type MosquittoUnderTest = BrokerUnderTest & {
  mosquitto: Mosquitto
  /** The controller's way in over TCP. */
  access: BrokerAccess
  /** Another controller at the same broker. */
  openBroker(options?: Partial<MqttBrokerOptions>): ReturnType<typeof createMqttBroker>
  subscribe(options: Partial<SubscriberOptions> & Pick<SubscriberOptions, 'sink' | 'clientId'>): ReturnType<typeof createMqttSubscriber>
}

/** A real mosquitto whose sites the controller admits; `perCall`: over WebSocket, with a connection for each call, as on Workers. */
export async function makeMosquitto(options: { perCall?: boolean; persistence?: boolean; configuration?: string[]; fleet?: FleetId } = {}): Promise<MosquittoUnderTest> {
  const { perCall = false, persistence = false, configuration = [], fleet = flock } = options
  const directory = await mkdtemp(join(tmpdir(), 'murmur-mosquitto-'))
  const mosquitto = await startMosquitto({ fleet, controllerPassword: password, directory, webSocket: perCall, persistence, configuration })
  const access = { url: mosquitto.tcpUrl, username: controllerUser, password }
  const opened: ReturnType<typeof createMqttBroker>[] = []
  const openBroker: MosquittoUnderTest['openBroker'] = (more = {}) => {
    const broker = createMqttBroker({
      ...access, url: perCall ? mosquitto.webSocketUrl : mosquitto.tcpUrl, sitesUrl: mosquitto.tcpUrl, fleet, ingestSecret: new Uint8Array(32).fill(3), crypto: nodeCrypto, ids: sortableIds, log,
      timeoutMs: 3000, perCall, registrar: 'mosquitto', ...more,
    })
    opened.push(broker)
    return broker
  }
  const subscribe: MosquittoUnderTest['subscribe'] = (more) => createMqttSubscriber({ ...access, fleet, log, reconnectMs: 50, ...more })
  const broker = openBroker()
  let subscribers = 0
  return {
    mosquitto, access, broker, openBroker, subscribe,
    admit: (site, incarnation) => broker.admit(site, incarnation),
    expel: (site) => broker.expel(site),
    createSubscriber: (sink) => subscribe({ clientId: `reports-${++subscribers}`, sink }),
    restart: () => mosquitto.restart(),
    async end() {
      await mosquitto.program.end()
    },
    async dispose() {
      for (const each of opened) await each.close()
      await mosquitto.stop()
      await rm(directory, { recursive: true })
    },
  }
}
