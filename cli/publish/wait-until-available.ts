import { releaseContracts, type ReleaseView } from '../../protocol/http/releases.ts'
import { assertNever } from '../../protocol/result.ts'
import { CliError } from '../cli-error.ts'
import type { Client } from '../client.ts'

const pollMs = 500
const pollMsMax = 5_000

/** Waits until the controller has confirmed every object. Throws CliError when it rejects the release, or `limitMs` are over. */
export async function waitUntilAvailable(client: Client, id: string, options: { limitMs: number; onProgress(done: number, total: number): void }): Promise<ReleaseView> {
  const startMs = client.http.nowMs()
  for (let spanMs = pollMs; ; spanMs = Math.min(pollMsMax, spanMs * 1.5)) {
    const release = await client.call(releaseContracts.getRelease, { params: { release: id } })
    options.onProgress(release.objectsConfirmed, release.objects)
    switch (release.state) {
      case 'available': return release
      case 'rejected': throw new CliError('failure', `the controller rejected ${id}: ${release.detail}`, { details: ['publishing it again uploads what is missing'] })
      case 'withdrawn': throw new CliError('conflict', `${id} was withdrawn meanwhile: ${release.detail}`)
      case 'uploading': throw new CliError('conflict', `${id} was announced again meanwhile, with another delivery index`)
      case 'checking': break
      default: assertNever(release.state)
    }
    if (client.http.nowMs() - startMs > options.limitMs) throw new CliError('wait-over', `${id} is not confirmed yet (${release.detail}); see murmur release show ${id}`)
    await client.http.sleep(spanMs)
  }
}
