import { randomBytes } from 'node:crypto'
import type { Host } from './host.ts'
import { nodeClock } from './node-clock.ts'
import { nodeFacts } from './node-facts.ts'
import { nodeFiles } from './node-files.ts'
import { nodeNetwork } from './node-network.ts'
import { nodeProcesses } from './node-processes.ts'
import { createNodeSensors } from './node-sensors.ts'

/** The machine this process runs on. */
export const nodeHost: Host = {
  files: nodeFiles,
  clock: nodeClock,
  random: { bytes: (length) => new Uint8Array(randomBytes(length)), fraction: () => Math.random() },
  processes: nodeProcesses,
  network: nodeNetwork,
  facts: nodeFacts,
  sensors: createNodeSensors(),
}
