import { agentContracts } from '../../protocol/http/agent.ts'
import type { Host } from '../host/host.ts'
import { installationPaths } from '../installation/paths.ts'
import { explain, type Log } from '../log.ts'
import { backoffMs } from './backoff.ts'
import type { Controller } from './controller.ts'

/**
 * A version of the agent that is on trial has to be heard by its controller over HTTPS as well as by its broker: it asks
 * for something that changes nothing until that is answered. Any other version has no need to ask.
 */
export async function reportIn({ host, log, controller, life }: { host: Host; log: Log; controller: Controller; life: AbortSignal }): Promise<void> {
  const { installation } = host
  if (installation === undefined || (await host.files.facts(installationPaths(installation.directory).trial)) === null) return
  for (let tries = 1; !life.aborted; tries++) {
    try {
      await controller.call(agentContracts.renewEnrolment, {}, life)
      return
    } catch (error) {
      log('warn', 'not-reported-in', { tries, error: explain(error) })
      await host.clock.sleep(backoffMs(tries, { base: 1000, max: 10_000 }, host.random), life).catch(() => undefined)
    }
  }
}
