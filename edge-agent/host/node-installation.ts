import type { Environment } from '../environment.ts'
import type { Installation } from './host.ts'
import { createInstallation } from './installation.ts'

/** The status with which an agent asks its launcher to be started anew. */
const againStatus = 75
const parentEveryMs = 1000

/**
 * The installation whose launcher started this process; undefined where none did. An agent whose launcher is gone ends:
 * the next launcher starts another, and there must not be two.
 */
export function nodeInstallation(environment: Environment): Installation | undefined {
  const { MURMUR_AGENT_INSTALL: directory, MURMUR_AGENT_RUNNING: running, MURMUR_AGENT_LAUNCHER: launcher, MURMUR_AGENT_TRIAL_S: trialS } = environment
  if (directory === undefined || running === undefined) return undefined
  if (launcher !== undefined) setInterval(() => void (process.ppid === launcher || process.exit(againStatus)), parentEveryMs).unref()
  return createInstallation({ directory, running, trialS, restart: async () => process.exit(againStatus) })
}
