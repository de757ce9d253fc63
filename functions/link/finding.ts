import type { LinkCheck } from '../../protocol/http/links.ts'
import type { Ctx } from '../context.ts'
import { describeError } from '../http/describe-error.ts'
import { describeFault } from './describe-fault.ts'

/** What a check found: as it is told, without how long the check took. */
export type Finding = Omit<LinkCheck, 'tookMs'>

export const working = (link: string, detail: string): Finding => ({ link, state: 'ok', detail, cure: null })
export const doubtful = (link: string, detail: string, cure: string): Finding => ({ link, state: 'warning', detail, cure })
export const failing = (link: string, detail: string, cure: string): Finding => ({ link, state: 'failing', detail, cure })
export const unchecked = (link: string, detail: string): Finding => ({ link, state: 'not-checked', detail, cure: null })

/** A part of the controller to be tried. `cure` is for whatever it throws, or when it takes longer than `withinMs`. */
export type Check = { link: string; cure: string; withinMs: number; look(ctx: Ctx): Promise<Finding[]> }

/** Tries one part, bounded in time, and never rejects: what goes wrong is what was found. */
export async function runCheck(ctx: Ctx, { link, cure, withinMs, look }: Check): Promise<LinkCheck[]> {
  const startedMs = ctx.clock.nowMs()
  const findings = await inTime(look(ctx), withinMs).catch((error: unknown): Finding[] => {
    const fault = describeFault(error)
    ctx.log.write('warn', 'link.failing', { link, cause: describeError(error), requestId: ctx.requestId })
    return [failing(link, fault.detail, fault.cure ?? cure)]
  })
  return findings.map((finding) => ({ ...finding, tookMs: Math.round(ctx.clock.nowMs() - startedMs) }))
}

/** The same promise, which rejects once it takes too long; what it does may go on. */
export async function inTime<T>(work: Promise<T>, withinMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${withinMs / 1000} s`)), withinMs)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

export const pause = (spanMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, spanMs))
