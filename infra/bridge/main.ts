import { createHttpSink } from '../../functions/adapters/mqtt/http-sink.ts'
import { createMqttSubscriber } from '../../functions/adapters/mqtt/subscriber.ts'
import { jsonLog } from '../../functions/adapters/node/json-log.ts'
import { EnvironmentError } from '../../functions/platform/parse-environment.ts'
import { stopOnSignals } from '../../functions/platform/stop-on-signals.ts'
import { readBridgeSettings } from './settings.ts'

/** A moment longer than within the controller: each batch is a request. */
const companyMs = 200

/**
 * Carries reports from a broker to a controller that cannot listen itself, such as one on Workers. It holds no state and
 * no secret of the sites; what it cannot hand over stays with the broker. `node infra/launch.mjs infra/bridge/main.ts`
 */
async function main(): Promise<void> {
  const settings = readBridgeSettings(process.env)
  const log = jsonLog(settings.MURMUR_LOG)
  const subscriber = createMqttSubscriber({
    url: settings.MURMUR_BROKER_URL, username: settings.MURMUR_BROKER_USERNAME, password: settings.MURMUR_BROKER_PASSWORD,
    fleet: settings.MURMUR_FLEET, clientId: `${settings.MURMUR_FLEET}-${settings.MURMUR_BRIDGE_NAME}`, group: settings.MURMUR_BRIDGE_GROUP, companyMs, log,
    sink: createHttpSink({ controllerUrl: settings.MURMUR_CONTROLLER_URL, token: settings.MURMUR_TOKEN, log }),
  })
  stopOnSignals(subscriber.stop)
  await subscriber.start()
}

main().catch((error: unknown) => {
  console.error(error instanceof EnvironmentError ? error.message : error)
  process.exit(1)
})
