import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

export type Memory = { pss: number; rss: number }

/** A process as it is started, and when it counts as started. */
export type Subject = { node: string; args: readonly string[]; isReady(): Promise<boolean> }

const readyMs = 30_000
const settleMs = 4000
const samples = 5
const betweenSamplesMs = 500
const sleep = (spanMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, spanMs))

/** Megabytes of a process, from the kernel's own sums over its mappings. */
function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const megabytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024
  return { pss: megabytes('Pss'), rss: megabytes('Rss') }
}

const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!

/** Starts a process, lets it settle, and takes the middle of a few samples; then ends it. */
export async function measureProcess({ node, args, isReady }: Subject): Promise<Memory> {
  const child = spawn(node, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = `${said}${chunk}`.slice(-4000)))
  const ended = once(child, 'exit')
  try {
    for (const untilMs = Date.now() + readyMs; !(await isReady()); await sleep(100)) {
      if (child.exitCode !== null || Date.now() > untilMs) throw new Error(`${args.join(' ')} did not get ready:\n${said}`)
    }
    await sleep(settleMs)
    const taken: Memory[] = []
    for (let i = 0; i < samples; i++) {
      taken.push(memoryOf(child.pid!))
      await sleep(betweenSamplesMs)
    }
    return { pss: middle(taken.map(({ pss }) => pss)), rss: middle(taken.map(({ rss }) => rss)) }
  } finally {
    child.kill()
    await ended
  }
}
