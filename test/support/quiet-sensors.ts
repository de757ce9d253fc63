import type { Sensors } from '../../edge-agent/host/sensors.ts'
import { ok, refuse } from '../../protocol/result.ts'

const untold = async () => refuse('this machine does not tell')

/** Of a machine that has nothing to say: nothing is measured and nothing is wrong. */
export const quietSensors: Sensors = {
  sample: async (nodes) => nodes.map(({ name }) => ({ node: name, countersAtMs: 0, cpu: null, memory: null, filesystems: [], unread: [], interfaces: [], pods: null })),
  directoryBytes: untold,
  failedUnits: async () => ok([]),
  disks: async () => [],
  clockOffsetMs: untold,
  certificate: untold,
  kubernetes: async () => null,
}
