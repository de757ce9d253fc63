import * as z from 'zod'
import { parseEnvironment, type Environment } from '../../functions/platform/parse-environment.ts'
import { FleetId, SiteId } from '../../protocol/ids.ts'

const text = z.string({ error: 'is missing' }).min(1)

/** What the bridge is told by its environment. */
export const bridgeSettings = {
  MURMUR_CONTROLLER_URL: { about: 'The controller.', schema: z.url({ protocol: /^https?$/, error: 'must be the http or https URL of the controller' }) },
  MURMUR_TOKEN: { about: 'A token of the role `ingest`, from `murmur token create`.', schema: text },
  MURMUR_FLEET: { about: 'Name of the fleet.', schema: FleetId },
  MURMUR_BROKER_URL: { about: 'MQTT broker.', schema: z.url({ protocol: /^(?:mqtts?|wss?)$/, error: 'must be an mqtt, mqtts, ws or wss URL' }) },
  MURMUR_BROKER_USERNAME: { about: "The controller's user at the broker.", schema: text.optional() },
  MURMUR_BROKER_PASSWORD: { about: "The controller's password at the broker.", schema: text.optional() },
  MURMUR_BRIDGE_NAME: { about: 'Tells several bridges of one fleet apart, and names the session that the broker keeps for this one: keep it over restarts. Default `bridge`.', schema: SiteId.prefault('bridge') },
  MURMUR_BRIDGE_GROUP: { about: 'Bridges of one group divide the reports among them, by a shared subscription; with `none` each gets every report, for brokers without shared subscriptions. Default `bridges`.', schema: SiteId.prefault('bridges').transform((group) => (group === 'none' ? undefined : group)) },
  MURMUR_LOG: { about: 'Lowest level that is logged. Default `info`.', schema: z.enum(['debug', 'info', 'warn', 'error'], { error: 'must be debug, info, warn or error' }).default('info') },
} as const

/** Throws EnvironmentError that lists everything that is wrong. */
export const readBridgeSettings = (environment: Environment) => parseEnvironment(bridgeSettings, environment)
