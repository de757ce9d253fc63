import type { ReleaseRef } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import { protocolRange } from '../agent-version.ts'
import type { HeldState } from '../held/state.ts'
import type { JournalRecord } from '../journal/record.ts'
import type { Store } from '../journal/store.ts'
import { judgeRelease } from '../stage/judge-release.ts'
import { ReleaseRefused } from '../stage/releases.ts'
import { stageRelease, type StagingParts, type StagingProgress } from '../stage/stage-release.ts'
import type { Ends } from './change.ts'

/** Brings releases to the site, and says what both ends of an attempt are. */
export interface Bringer {
  /** Accepts a release (SPEC §5) and brings its bytes. Throws ReleaseRefused or another StepError. */
  bring(release: ReleaseRef, back: boolean, signal: AbortSignal, onProgress?: StagingProgress): Promise<Manifest>
  /** All that an attempt needs, its way back included. */
  stage(record: JournalRecord, signal: AbortSignal, onProgress: StagingProgress): Promise<Ends>
  /** Both ends of an attempt that was staged. */
  ends(record: JournalRecord): Promise<Ends>
}

export function createBringer(parts: StagingParts & { held: Store<HeldState> }): Bringer {
  const { releases } = parts

  /** The signature first, then what the site's own facts allow. */
  async function accept(release: ReleaseRef, back: boolean, signal: AbortSignal): Promise<Manifest> {
    const manifest = await releases.obtain(release, signal)
    const { running, history } = parts.held.current!
    const judged = judgeRelease(manifest, { release, back }, { running, history, architecture: parts.host.facts.architecture(), protocolMax: protocolRange.max })
    if (!judged.ok) throw new ReleaseRefused(judged.refusal.reason, judged.refusal.detail)
    return manifest
  }

  const bringer: Bringer = {
    async bring(release, back, signal, onProgress = () => undefined) {
      const manifest = await accept(release, back, signal)
      await stageRelease(parts, release, manifest, signal, onProgress)
      return manifest
    },
    async stage({ from, to, back }, signal, onProgress) {
      // An attempt that could not be undone is not begun.
      const old = from === null ? null : await releases.load(from.digest).catch(() => releases.obtain(from, signal))
      if (from !== null && old !== null) await stageRelease(parts, from, old, signal, () => undefined)
      return { from: old, to: await bringer.bring(to!, back, signal, onProgress) }
    },
    async ends({ from, to }) {
      return { from: from === null ? null : await releases.load(from.digest), to: to === null ? null : await releases.load(to.digest) }
    },
  }
  return bringer
}
