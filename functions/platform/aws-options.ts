import type { AwsIotOptions } from '../adapters/aws/options.ts'
import type { Log } from '../ports/log.ts'
import type { NodeSettings } from './env.ts'

type Settings = Pick<NodeSettings, 'MURMUR_FLEET' | 'MURMUR_AWS_IOT_ENDPOINT' | 'MURMUR_AWS_REGION' | 'MURMUR_AWS_ACCOUNT' | 'MURMUR_AWS_ACCESS_KEY_ID' | 'MURMUR_AWS_SECRET_ACCESS_KEY' | 'MURMUR_AWS_CONTROL_ENDPOINT'>

/** Where AWS IoT Core is and how the controller gets in; null where the settings name no such broker. They are all there, or none is. */
export function awsOptions(settings: Settings, log: Log): AwsIotOptions | null {
  if (settings.MURMUR_AWS_IOT_ENDPOINT === undefined) return null
  return {
    fleet: settings.MURMUR_FLEET, endpoint: settings.MURMUR_AWS_IOT_ENDPOINT, region: settings.MURMUR_AWS_REGION!, account: settings.MURMUR_AWS_ACCOUNT!,
    accessKeyId: settings.MURMUR_AWS_ACCESS_KEY_ID!, secretAccessKey: settings.MURMUR_AWS_SECRET_ACCESS_KEY!, controlEndpoint: settings.MURMUR_AWS_CONTROL_ENDPOINT, log,
  }
}
