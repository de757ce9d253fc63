import * as z from 'zod'
import { FleetId } from '../../protocol/ids.ts'
import type { R2Bucket } from '../adapters/cloudflare/r2-object-store.ts'
import { awsIotSettings, linkFaults, s3Settings, setting, togetherFaults, webhookSettings } from './link-settings.ts'
import { parseEnvironment } from './parse-environment.ts'

/** The 16 bytes before the 32 of every Ed25519 key in PKCS #8, and those. */
const fleetKey = z.string().regex(/^MC4CAQAwBQYDK2VwBCIEI[A-Za-z0-9+/]{43}$/, 'must be base64 of the 48 bytes of an Ed25519 key in PKCS #8 DER')
const secret = z.base64().min(44, 'must be base64 of at least 32 bytes')

/** What the controller on Workers is told by its variables and secrets. */
export const workerSettings = {
  MURMUR_FLEET: setting('Name of the fleet; goes into every topic and every signed statement, and cannot be changed later.', FleetId),
  MURMUR_PUBLIC_URL: setting('How agents and people reach this Worker.', z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })),
  MURMUR_DATABASE_URL: setting('libSQL over HTTP: `https://…` or `libsql://…` (Turso, sqld).', z.string().regex(/^(?:https?|libsql):\/\/.+$/, 'must be an http, https or libsql URL')),
  MURMUR_DATABASE_TOKEN: setting('Secret. Token for that database.', z.string().min(1).optional()),
  MURMUR_BROKER_URL: setting('MQTT over WebSocket: `wss://…`.', z.url({ protocol: /^wss?$/, error: 'must be a ws or wss URL' }).optional()),
  MURMUR_BROKER_USERNAME: setting("The controller's user at that broker.", z.string().min(1).optional()),
  MURMUR_BROKER_PASSWORD: setting("Secret. The controller's password at that broker.", z.string().min(1).optional()),
  MURMUR_BROKER_SITES_URL: setting('How agents reach the broker.', z.url({ protocol: /^(?:mqtts?|wss?)$/, error: 'must be an mqtt, mqtts, ws or wss URL' }).optional()),
  MURMUR_BROKER_REGISTRAR: setting('Who tells that broker which sites may connect: `mosquitto` for its dynamic-security plugin, told by this controller; `none` where somebody else does. Default `none`.', z.enum(['none', 'mosquitto'], { error: 'must be none or mosquitto' }).default('none')),
  ...awsIotSettings,
  ...s3Settings,
  ...webhookSettings,
  MURMUR_WEBHOOK_RESOLVER: setting('Who says which addresses the host of a webhook has: DNS over HTTPS that answers in JSON. Default `https://cloudflare-dns.com/dns-query`.', z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).default('https://cloudflare-dns.com/dns-query')),
  MURMUR_FLEET_KEY: setting('Secret. The fleet key: base64 of the PKCS #8 DER of an Ed25519 key.', fleetKey),
  MURMUR_INGEST_SECRET: setting('Secret. Base64 of at least 32 bytes of chance.', secret),
  MURMUR_FIRST_ADMIN_HASH: setting('SHA-256, in hexadecimal, of the token that becomes the first admin of a controller without one.', z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits').optional()),
} as const

/** Variables, secrets and bindings, as the platform gives them. */
export type WorkerBindings = { OBJECTS: R2Bucket } & Record<string, unknown>

export type WorkerSettings = ReturnType<typeof readWorkerSettings>

/** The settings among the bindings; throws EnvironmentError that lists everything that is wrong. */
export function readWorkerSettings(bindings: WorkerBindings) {
  const texts = Object.fromEntries(Object.entries(bindings).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
  return parseEnvironment(workerSettings, texts, (values) => {
    const faults = [...togetherFaults(values, brokerNames), ...linkFaults(values)]
    if (values.MURMUR_BROKER_URL === undefined && values.MURMUR_AWS_IOT_ENDPOINT === undefined) faults.push('MURMUR_BROKER_URL, MURMUR_AWS_IOT_ENDPOINT: a Worker needs one of these brokers')
    if (bindings.OBJECTS === undefined) faults.push('OBJECTS: the R2 bucket is not bound')
    return faults
  })
}

const brokerNames = ['MURMUR_BROKER_URL', 'MURMUR_BROKER_USERNAME', 'MURMUR_BROKER_PASSWORD', 'MURMUR_BROKER_SITES_URL'] as const
