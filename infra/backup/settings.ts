import { nodeSettings } from '../../functions/platform/env.ts'
import { linkFaults } from '../../functions/platform/link-settings.ts'
import { parseEnvironment, type Environment } from '../../functions/platform/parse-environment.ts'

const { MURMUR_FLEET, MURMUR_DATA, MURMUR_DATABASE_URL, MURMUR_DATABASE_TOKEN, MURMUR_S3_ENDPOINT, MURMUR_S3_BUCKET, MURMUR_S3_REGION, MURMUR_S3_ACCESS_KEY_ID, MURMUR_S3_SECRET_ACCESS_KEY } = nodeSettings
const settings = { MURMUR_FLEET, MURMUR_DATA, MURMUR_DATABASE_URL, MURMUR_DATABASE_TOKEN, MURMUR_S3_ENDPOINT, MURMUR_S3_BUCKET, MURMUR_S3_REGION, MURMUR_S3_ACCESS_KEY_ID, MURMUR_S3_SECRET_ACCESS_KEY } as const

export type StorageSettings = ReturnType<typeof readStorageSettings>

/** Which database and which object store, out of the settings of a controller on either host; all its other settings mean nothing here. Throws EnvironmentError. */
export const readStorageSettings = (environment: Environment) =>
  parseEnvironment(settings, Object.fromEntries(Object.keys(settings).map((name) => [name, environment[name]])), linkFaults)
