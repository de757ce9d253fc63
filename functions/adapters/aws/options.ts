import type { FleetId } from '../../../protocol/ids.ts'
import type { Log } from '../../ports/log.ts'
import type { AwsPlace } from './names.ts'

/** Which account and fleet, as whom, and where. */
export type AwsIotOptions = AwsPlace & {
  fleet: FleetId
  /** The account's data endpoint, an https URL: where this publishes, and by name where sites connect. */
  endpoint: string
  accessKeyId: string
  secretAccessKey: string
  /** Absent: the region's own. */
  controlEndpoint?: string | undefined
  log: Log
  /** For the publishing of one call. */
  timeoutMs?: number
  /** Most messages of one invocation: each is a request, and Workers count those. */
  messagesMax?: number
}
