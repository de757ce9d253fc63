import { mkdir, readdir } from 'node:fs/promises'
import type { PracticeFleet } from './fleet.ts'

const everyMs = 500

/** Keeps the agents of those sites stopped that have a file of their name in `directory`: a site goes offline and comes back by a file. */
export async function watchOffline(directory: string, fleet: PracticeFleet): Promise<{ stop(): Promise<void> }> {
  await mkdir(directory, { recursive: true })
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  let running = Promise.resolve()
  const look = async (): Promise<void> => {
    await fleet.keepOffline(new Set(await readdir(directory).catch(() => [])))
    if (!stopped) timer = setTimeout(next, everyMs)
  }
  const next = (): void => {
    running = look()
  }
  next()
  return {
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
