import { webCrypto } from '../../protocol/crypto.ts'
import { createAwsBroker } from '../adapters/aws/aws-broker.ts'
import { createMqttBroker } from '../adapters/mqtt/mqtt-broker.ts'
import { sortableIds } from '../adapters/node/sortable-ids.ts'
import type { Broker } from '../ports/broker.ts'
import type { Log } from '../ports/log.ts'
import { awsOptions } from './aws-options.ts'
import type { WorkerSettings } from './worker-env.ts'

/** A Worker may make 1,000 requests in one invocation by its older rule, ten times as many by its newer one; some are the database's. */
const requestsMax = 900

/** The broker that the settings name, reached anew by each invocation: no socket outlives its request on Workers. */
export function openWorkerBroker(settings: WorkerSettings, ingestSecret: Uint8Array, log: Log): Broker {
  const aws = awsOptions(settings, log)
  if (aws !== null) return createAwsBroker({ ...aws, messagesMax: requestsMax })
  return createMqttBroker({
    url: settings.MURMUR_BROKER_URL!, username: settings.MURMUR_BROKER_USERNAME, password: settings.MURMUR_BROKER_PASSWORD, sitesUrl: settings.MURMUR_BROKER_SITES_URL!,
    fleet: settings.MURMUR_FLEET, ingestSecret, crypto: webCrypto, ids: sortableIds, log, perCall: true, registrar: settings.MURMUR_BROKER_REGISTRAR,
  })
}
