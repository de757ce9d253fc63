import { findDatabaseFault } from '../../db/database-fault.ts'
import { jsonLog } from '../adapters/node/json-log.ts'
import { EnvironmentError } from '../platform/parse-environment.ts'
import { readNodeSettings } from '../platform/env.ts'
import { startNode } from '../platform/start-node.ts'
import { stopOnSignals } from '../platform/stop-on-signals.ts'

/** The controller as one Node process: `node functions/entry/node.ts`, told by its environment. */
async function main(): Promise<void> {
  const settings = readNodeSettings(process.env)
  const log = jsonLog(settings.MURMUR_LOG)
  const controller = await startNode(settings, log)
  stopOnSignals(async () => {
    await controller.stop()
    log.write('info', 'controller.stopped', {})
  })
}

main().catch((error: unknown) => {
  console.error(error instanceof EnvironmentError ? error.message : (findDatabaseFault(error)?.message ?? error))
  process.exit(1)
})
