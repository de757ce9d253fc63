import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { runSeed, type SeedResult } from './run-seed.ts'

export type PoolRequest = { seeds: readonly number[]; sites: number; workers: number }
type Answer = { result: SeedResult } | { failure: string; seed: number }

/** Runs seeds in several processes; results come in the order of the seeds, `onResult` hears each as it comes. */
export async function runPool({ seeds, sites, workers }: PoolRequest, onResult: (result: SeedResult) => void = () => undefined): Promise<SeedResult[]> {
  const waiting = [...seeds]
  const results: SeedResult[] = []
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child: ChildProcess = fork(join(import.meta.dirname, 'pool.ts'), [], { execArgv: [] })
      const next = (): void => {
        const seed = waiting.shift()
        if (seed !== undefined) child.send({ seed, sites })
        else child.disconnect()
      }
      child.on('message', (answer: Answer) => {
        if ('failure' in answer) {
          waiting.length = 0
          child.disconnect()
          return reject(new Error(`the simulator failed at seed ${answer.seed}: ${answer.failure}`))
        }
        results.push(answer.result)
        onResult(answer.result)
        next()
      })
      child.on('error', reject)
      child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a simulating process ended with status ${code}`))))
      next()
    })
  await Promise.all(Array.from({ length: Math.min(workers, seeds.length) }, work))
  return results.sort((a, b) => a.seed - b.seed)
}

if (import.meta.main && process.send !== undefined) {
  // a seed that does not end must not outlive the run that it belongs to
  process.on('disconnect', () => process.exit())
  process.on('message', ({ seed, sites }: { seed: number; sites: number }) => {
    runSeed({ seed, sites }).then(
      (result) => process.send!({ result } satisfies Answer),
      (error: unknown) => process.send!({ failure: error instanceof Error ? `${error.stack}\n${String((error.cause as Error)?.stack ?? '')}` : String(error), seed } satisfies Answer),
    )
  })
}
