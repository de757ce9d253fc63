import type { Io } from '../io.ts'
import { bytesText } from '../output/words.ts'
import { bar } from '../watch/bar.ts'
import type { PublishStep } from './publish-release.ts'

const titles: Record<PublishStep, string> = { scan: 'scanning', store: 'compressing', upload: 'uploading', confirm: 'confirming' }
const drawMs = 100

/** One line of progress that is drawn over on a terminal; elsewhere one line for each step. Written beside the results. */
export function showPublishing(io: Pick<Io, 'err' | 'terminal' | 'nowMs'>): { on(step: PublishStep, done: number, total: number): void; end(): void } {
  let step: PublishStep | null = null
  let drawnMs = 0
  return {
    on(next, done, total) {
      const first = next !== step
      step = next
      if (io.terminal() === null) {
        if (first) io.err(`${titles[next]}\n`)
        return
      }
      if (!first && done < total && io.nowMs() - drawnMs < drawMs) return
      drawnMs = io.nowMs()
      const numbers = next === 'upload' ? `${bytesText(done)} of ${bytesText(total)}` : total > 1 ? `${done} of ${total}` : ''
      io.err(`\r\x1b[2K${titles[next].padEnd(11)} ${total > 1 ? `${bar(done / total, 30)} ` : ''}${numbers}`)
    },
    end: () => void (step !== null && io.terminal() !== null && io.err('\r\x1b[2K')),
  }
}
