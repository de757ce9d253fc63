import type { DriverName } from '../../protocol/manifest.ts'
import { FileError } from '../host/host.ts'
import { agentDriver } from './agent.ts'
import { DriverError, type Driver, type DriverVerb } from './contract.ts'
import { filesDriver } from './files.ts'
import { packagesDriver } from './packages.ts'
import { scriptDriver } from './script.ts'

/** The same driver, with a failure of the disk as a DriverError: `ENOSPC` becomes `disk-enospc`. */
function namingDiskFailures(driver: Driver): Driver {
  const naming = <Verb extends DriverVerb>(verb: Verb): Driver[Verb] =>
    (async (host, change) => {
      try {
        return await driver[verb](host, change)
      } catch (error) {
        throw error instanceof FileError ? new DriverError(`disk-${error.code.toLowerCase()}`, error.message, error) : error
      }
    }) as Driver[Verb]
  return {
    ...driver,
    observe: naming('observe'), stage: naming('stage'), apply: naming('apply'), verify: naming('verify'),
    commit: naming('commit'), rollback: naming('rollback'), cleanup: naming('cleanup'),
  }
}

/** Every driver of the agent by the name that a component's configuration has it under. */
export const drivers: Record<DriverName, Driver> = {
  files: namingDiskFailures(filesDriver),
  packages: namingDiskFailures(packagesDriver),
  script: namingDiskFailures(scriptDriver),
  agent: namingDiskFailures(agentDriver),
}
