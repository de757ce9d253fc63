import type { Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'
import { StepError } from '../step-error.ts'

/** Left alone, for journals, reports and the node's own life. */
const marginBytes = 16 * 1024 * 1024

/**
 * Refuses (`no-space`) unless everything that will be written fits at once, the old release staying where it is (F23).
 * Places with equally much free space are taken to be one disk, whose needs add up.
 */
export async function reserveSpace(host: Host, needs: readonly { path: string; bytes: number }[]): Promise<void> {
  const byDisk = new Map<number, number>()
  for (const { path, bytes } of needs) {
    const freeBytes = await host.files.freeBytes(path)
    byDisk.set(freeBytes, (byDisk.get(freeBytes) ?? 0) + bytes)
  }
  for (const [freeBytes, bytes] of byDisk) {
    const neededBytes = bytes + marginBytes
    if (bytes > 0 && freeBytes < neededBytes) throw new StepError({ code: 'no-space', detail: `${neededBytes} bytes are needed, ${freeBytes} are free` })
  }
}

/** What drivers will write under each node's root: the trees that are new there. */
export const nodeNeeds = (nodes: readonly Node[], newBytes: (node: Node) => number): { path: string; bytes: number }[] =>
  nodes.map((node) => ({ path: node.root, bytes: newBytes(node) }))
