import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * One of several controllers of one fleet, as a program: `node controller-behind-balancer.ts TREE`, told by its environment like
 * the entry of that tree. It serves requests and runs jobs; reports come to it over HTTP, because at the broker several would take over one session.
 */
async function main(tree: string): Promise<void> {
  const from = async <K extends string>(path: string, name: K) => ((await import(pathToFileURL(join(tree, path)).href)) as Record<K, (...args: unknown[]) => any>)[name]
  const log = (await from('functions/adapters/node/json-log.ts', 'jsonLog'))('warn')
  const settings = (await from('functions/platform/env.ts', 'readNodeSettings'))(process.env)
  const http = await (await from('functions/platform/serve-http.ts', 'serveHttp'))(settings.HOST, settings.PORT)
  const platform = await (await from('functions/platform/node.ts', 'openNodePlatform'))(settings, { fleet: settings.MURMUR_FLEET, publicUrl: settings.MURMUR_PUBLIC_URL, version: tree, host: 'node' }, log)
  await (await from('functions/platform/first-admin.ts', 'openFirstAdmin'))(platform.deps, settings.MURMUR_DATA)
  http.use((request: Request) => platform.app.fetch(request))
  // each at its own pace, but so often that ticks of two controllers do overlap
  const jobs: { everyMs: number }[] = (await from('functions/jobs.ts', 'createJobs'))(platform.deps)
  const hasty = jobs.map((job) => ({ ...job, everyMs: Math.min(job.everyMs, 300) }))
  ;(await from('functions/platform/schedule-jobs.ts', 'scheduleJobs'))(hasty, log)
}

await main(process.argv[2]!)
