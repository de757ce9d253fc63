import { resolve } from 'node:path'
import * as z from 'zod'
import { FleetId } from '../../protocol/ids.ts'
import { awsIotSettings, httpUrl, linkFaults, s3Settings, setting, webhookSettings } from './link-settings.ts'
import { parseEnvironment, type Environment } from './parse-environment.ts'

const port = z.string().regex(/^\d{1,5}$/, 'must be a port number').transform(Number).refine((value) => value <= 65_535, 'must be at most 65535')
const brokerUrl = z.url({ protocol: /^(?:mqtts?|wss?)$/, error: 'must be an mqtt, mqtts, ws or wss URL' })
const text = z.string().min(1)

/** What the controller on Node is told by its environment. */
export const nodeSettings = {
  MURMUR_FLEET: setting('Name of the fleet; goes into every topic and every signed statement, and cannot be changed later. Default `practice`.', FleetId.prefault('practice')),
  MURMUR_DATA: setting('Directory for keys, database and objects; readable by its owner only. Default `.murmur`.', text.default('.murmur').transform((path) => resolve(path))),
  HOST: setting('Address the HTTP API listens on. Default `127.0.0.1`.', text.default('127.0.0.1')),
  PORT: setting('Port of the HTTP API; 0 takes a free one. Default `8787`.', port.prefault('8787')),
  MURMUR_PUBLIC_URL: setting('How agents and people reach the HTTP API. Default: where it listens.', httpUrl.optional()),
  MURMUR_DATABASE_URL: setting('libSQL database: `file:…`, `http(s)://…` (sqld) or `libsql://…` (Turso). Default: `controller.db` in the data directory.', z.string().regex(/^(?:file:.+|(?:https?|libsql):\/\/.+)$/, 'must be a file:, http:, https: or libsql: URL').optional()),
  MURMUR_DATABASE_TOKEN: setting('Token for a database over the network.', text.optional()),
  MURMUR_BROKER_URL: setting('MQTT broker. Default: an embedded one, for one machine.', brokerUrl.optional()),
  MURMUR_BROKER_USERNAME: setting("The controller's user at that broker.", text.optional()),
  MURMUR_BROKER_PASSWORD: setting("The controller's password at that broker.", text.optional()),
  MURMUR_BROKER_SITES_URL: setting('How agents reach the broker. Default: as the controller does.', brokerUrl.optional()),
  MURMUR_BROKER_HOST: setting('Address the embedded broker listens on. Default `127.0.0.1`.', text.default('127.0.0.1')),
  MURMUR_BROKER_PORT: setting('Port of the embedded broker; 0 takes a free one. Default `1883`.', port.prefault('1883')),
  MURMUR_BROKER_REGISTRAR: setting('Who tells that broker which sites may connect: `mosquitto` for its dynamic-security plugin, told by this controller; `none` where somebody else does. Default `none`.', z.enum(['none', 'mosquitto'], { error: 'must be none or mosquitto' }).default('none')),
  ...awsIotSettings,
  ...s3Settings,
  ...webhookSettings,
  MURMUR_LOG: setting('Lowest level that is logged: `debug`, `info`, `warn` or `error`. Default `info`.', z.enum(['debug', 'info', 'warn', 'error'], { error: 'must be debug, info, warn or error' }).default('info')),
} as const

export type NodeSettings = ReturnType<typeof readNodeSettings>

/** The settings of this process; throws EnvironmentError that lists everything that is wrong. */
export const readNodeSettings = (environment: Environment) =>
  parseEnvironment(nodeSettings, environment, (values) => {
    const faults: string[] = []
    const external = values.MURMUR_BROKER_URL !== undefined
    if (!external && (values.MURMUR_BROKER_USERNAME ?? values.MURMUR_BROKER_PASSWORD) !== undefined) faults.push('MURMUR_BROKER_USERNAME, MURMUR_BROKER_PASSWORD: mean nothing without MURMUR_BROKER_URL')
    if (external && (values.MURMUR_BROKER_USERNAME === undefined) !== (values.MURMUR_BROKER_PASSWORD === undefined)) faults.push('MURMUR_BROKER_USERNAME, MURMUR_BROKER_PASSWORD: one is set without the other')
    if (values.MURMUR_DATABASE_TOKEN !== undefined && (values.MURMUR_DATABASE_URL ?? 'file:').startsWith('file:')) faults.push('MURMUR_DATABASE_TOKEN: means nothing without a MURMUR_DATABASE_URL over the network')
    return [...faults, ...linkFaults(values)]
  })
