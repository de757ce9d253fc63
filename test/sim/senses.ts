import type { Sensors } from '../../edge-agent/host/sensors.ts'
import { ok } from '../../protocol/result.ts'
import { quietSensors } from '../support/quiet-sensors.ts'

/** What can be wrong with a machine beside its release: a disk that fills, a unit that failed. */
export class Senses {
  /** How full its disk is, in percent. */
  diskPercent = 10
  failedUnit: string | null = null

  sensors(): Sensors {
    const sizeBytes = 1000
    return {
      ...quietSensors,
      sample: async (nodes) => (await quietSensors.sample(nodes, { kubernetes: false })).map((sample) => ({
        ...sample,
        filesystems: [{ path: '/', device: 'sda1', sizeBytes, usedBytes: sizeBytes * (this.diskPercent / 100), availableBytes: sizeBytes * (1 - this.diskPercent / 100), inodes: null }],
      })),
      failedUnits: async () => ok(this.failedUnit === null ? [] : [{ name: this.failedUnit, description: 'a service of the site' }]),
    }
  }

  /** As it was on the first day. */
  mend(): void {
    this.diskPercent = 10
    this.failedUnit = null
  }
}
