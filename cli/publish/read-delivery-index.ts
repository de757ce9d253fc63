import { releaseContracts } from '../../protocol/http/releases.ts'
import { limits } from '../../protocol/limits.ts'
import { DeliveryIndex } from '../../protocol/manifest.ts'
import { CliError } from '../cli-error.ts'
import type { Client } from '../client.ts'

/** The delivery index of a release, from the store. Nothing vouches for it: what it leads to is checked by digest. Throws CliError. */
export async function readDeliveryIndex(client: Client, release: string): Promise<DeliveryIndex> {
  const { index } = await client.call(releaseContracts.getManifest, { params: { release } })
  const response = await client.http.fetch(index.url, { method: index.method, headers: index.headers, signal: AbortSignal.timeout(60_000) })
  if (!response.ok) throw new CliError('unreachable', `the store answered ${response.status} for the delivery index of ${release}`)
  const bytes = await response.arrayBuffer()
  if (bytes.byteLength > limits.deliveryIndexBytesMax) throw new CliError('failure', `the delivery index of ${release} is longer than ${limits.deliveryIndexBytesMax} bytes`)
  const parsed = DeliveryIndex.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  if (!parsed.success) throw new CliError('failure', `the delivery index of ${release} is malformed: ${parsed.error.issues[0]!.message}`)
  return parsed.data
}
