import { readText } from '../driver/durable.ts'
import type { Files } from '../host/host.ts'
import { utf8 } from '../../protocol/bytes.ts'
import type { InstallationPaths } from './paths.ts'

/** A version that failed its trial, as its launcher noted it: one line, the version, a code, and words. */
export type Verdict = { version: string; code: string; detail: string }

/** The launcher starts this version instead of the current one, until it is current or its time is up. */
export const writeTrial = (files: Files, paths: InstallationPaths, trial: { version: string; trialS: number }): Promise<void> =>
  files.writeDurable(paths.trial, utf8(`${trial.version} ${trial.trialS} 0\n`))

export async function readVerdict(files: Files, paths: InstallationPaths): Promise<Verdict | null> {
  const [, version, code, detail] = /^([0-9a-f]{64}) ([a-z-]{1,64}) (.*)/.exec((await readText(files, paths.verdict)) ?? '') ?? []
  return version === undefined || code === undefined ? null : { version, code, detail: detail ?? '' }
}
