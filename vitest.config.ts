import { defineConfig } from 'vitest/config'

/** Tiers that start real processes, or run a whole fleet, may take longer; each stays bounded. */
const slower = { parts: { directories: '{contract,agent,sim}', timeoutMs: 120_000 }, whole: { directories: '{runtime,e2e}', timeoutMs: 300_000 } }

const project = (name: string, include: string, timeoutMs: number, exclude: string[] = []) => ({ test: { name, include: [include], exclude, testTimeout: timeoutMs, hookTimeout: timeoutMs } })
const testsIn = (directories: string): string => `test/${directories}/**/*.test.ts`

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      project('fast', 'test/**/*.test.ts', 20_000, Object.values(slower).map(({ directories }) => testsIn(directories))),
      ...Object.entries(slower).map(([name, { directories, timeoutMs }]) => project(name, testsIn(directories), timeoutMs)),
    ],
  },
})
