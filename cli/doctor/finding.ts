import type { LinkCheck } from '../../protocol/http/links.ts'

/** A check of a link, and from where it was used: by this command, or by the controller. */
export type Finding = LinkCheck & { from: 'here' | 'controller' }

type Outcome = Pick<LinkCheck, 'state' | 'detail' | 'cure'>
export const working = (detail: string): Outcome => ({ state: 'ok', detail, cure: null })
export const doubtful = (detail: string, cure: string): Outcome => ({ state: 'warning', detail, cure })
export const failing = (detail: string, cure: string): Outcome => ({ state: 'failing', detail, cure })

/** Tries one link from here; whatever it throws is what was found, with `cure`. */
export async function tryLink(nowMs: () => number, link: string, cure: string, look: () => Promise<Outcome>): Promise<Finding> {
  const startedMs = nowMs()
  const outcome = await look().catch((error: unknown) => failing(wordsOf(error), cure))
  return { from: 'here', link, ...outcome, tookMs: Math.round(nowMs() - startedMs) }
}

/** What the network says is mostly in the cause. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  const own = error.message === '' ? (code ?? error.name) : error.message
  return error.cause instanceof Error ? wordsOf(error.cause) : own
}
