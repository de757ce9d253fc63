import { DescribeThingCommand, IoTClient, IoTServiceException } from '@aws-sdk/client-iot'
import { FleetError } from '../../../protocol/errors.ts'
import type { AwsIotOptions } from './options.ts'

/** Each request, of which the SDK tries a failed one again, within `triesMax`. */
const requestMs = 5000
const triesMax = 3
/** What AWS IoT does a moment after it said so is waited for so long. */
const settleMs = [100, 300, 900, 2000]

/** One conversation with AWS IoT's control plane; its connections end with it. Throws FleetError: `unavailable` where trying again may help. */
export async function withControlPlane<T>(options: AwsIotOptions, work: (client: IoTClient) => Promise<T>): Promise<T> {
  const { region, accessKeyId, secretAccessKey, controlEndpoint } = options
  const client = new IoTClient({
    region, credentials: { accessKeyId, secretAccessKey }, maxAttempts: triesMax, retryMode: 'standard',
    requestHandler: { requestTimeout: requestMs, connectionTimeout: requestMs, throwOnRequestTimeout: true },
    ...(controlEndpoint === undefined ? {} : { endpoint: controlEndpoint }),
  })
  try {
    return await work(client)
  } catch (error) {
    throw error instanceof FleetError ? error : fleetErrorOf(error)
  } finally {
    client.destroy()
  }
}

/** What the SDK threw, in our words; its own stay in the cause, for the log. */
function fleetErrorOf(cause: unknown): FleetError {
  const status = cause instanceof IoTServiceException ? (cause.$metadata.httpStatusCode ?? 0) : 0
  if (status === 401 || status === 403) return new FleetError('internal', "AWS IoT does not let the controller's user do this; `murmur infra aws --print-policy` shows what it must be allowed", { reason: 'broker-access', cause })
  const isLasting = status >= 400 && status < 500 && status !== 429 && !isName(cause, 'ThrottlingException') && !isName(cause, 'ConflictingResourceUpdateException')
  if (isLasting) return new FleetError('internal', 'AWS IoT refused what the controller asked; is the account set up with `murmur infra aws`?', { reason: 'broker', cause })
  return new FleetError('unavailable', 'AWS IoT did not answer', { reason: 'broker', cause })
}

/** Whether an error of the SDK has this name; never tells errors apart by their text. */
export const isName = (error: unknown, ...names: string[]): boolean => error instanceof Error && names.includes(error.name)

/** Resolves as well where what the call is about is gone already: whoever repeats a call that was cut off finds it so. */
export async function unlessGone(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isName(error, 'ResourceNotFoundException')) throw error
  })
}

/** Tries again for a few seconds while AWS IoT answers with one of these names: detaching, for one, takes effect a moment later. */
export async function settled(work: () => Promise<unknown>, ...names: string[]): Promise<void> {
  for (const spanMs of [...settleMs, null]) {
    try {
      return void (await work())
    } catch (error) {
      if (spanMs === null || !isName(error, ...names)) throw error
      await new Promise((resolve) => setTimeout(resolve, spanMs))
    }
  }
}

/** What the registry has of a thing; null where there is none. */
export async function findThing(client: IoTClient, thing: string): Promise<{ attributes: Record<string, string> } | null> {
  try {
    const { attributes } = await client.send(new DescribeThingCommand({ thingName: thing }))
    return { attributes: attributes ?? {} }
  } catch (error) {
    if (isName(error, 'ResourceNotFoundException')) return null
    throw error
  }
}
