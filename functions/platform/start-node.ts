import packageJson from '../../package.json' with { type: 'json' }
import type { Deps } from '../context.ts'
import { doubtPresence } from '../ingest/doubt-presence.ts'
import { createJobs } from '../jobs.ts'
import type { Log } from '../ports/log.ts'
import type { NodeSettings } from './env.ts'
import { openFirstAdmin } from './first-admin.ts'
import { openNodePlatform } from './node.ts'
import { scheduleJobs } from './schedule-jobs.ts'
import { makePrivateDirectory } from './secret-file.ts'
import { serveHttp } from './serve-http.ts'

/** A controller at work: `url` as others reach it, `localUrl` as this machine does. `adminToken` is the first admin's secret while it still lies in the data directory. */
export type RunningController = { url: string; localUrl: string; deps: Deps; adminToken: string | null; stop(): Promise<void> }

/** Starts the controller in this process and resolves once it serves. Throws with what is wrong, having left nothing behind that listens. */
export async function startNode(settings: NodeSettings, log: Log): Promise<RunningController> {
  await makePrivateDirectory(settings.MURMUR_DATA)
  const http = await serveHttp(settings.HOST, settings.PORT)
  const undo: (() => Promise<void>)[] = [http.close]
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const publicUrl = settings.MURMUR_PUBLIC_URL ?? http.url
    const platform = await openNodePlatform(settings, { fleet: settings.MURMUR_FLEET, publicUrl, version: packageJson.version, host: 'node' }, log)
    undo.unshift(platform.close)
    const adminToken = await openFirstAdmin(platform.deps, settings.MURMUR_DATA)
    http.use((request) => platform.app.fetch(request))
    const doubted = await doubtPresence(platform.deps)
    // not waited for: a broker that is away must not keep the API from answering
    void platform.subscriber.start()
    undo.push(platform.subscriber.stop)
    const schedule = scheduleJobs(createJobs(platform.deps), log)
    undo.push(schedule.stop)
    log.write('info', 'controller.started', { url: publicUrl, fleet: settings.MURMUR_FLEET, doubted })
    return { url: publicUrl, localUrl: http.url, deps: platform.deps, adminToken, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
