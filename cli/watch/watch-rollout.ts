import { rolloutContracts, type DeploymentView, type RolloutView } from '../../protocol/http/rollouts.ts'
import type { Client } from '../client.ts'
import type { Io } from '../io.ts'
import { judgeEnd, type End } from './judge-end.ts'
import { renderChanges, renderRollout } from './render.ts'
import { createScreen } from './screen.ts'

export type WatchOptions = {
  /** Watch on while the rollout waits for a person. */
  stay: boolean
  /** Give up after so long; never by default. */
  limitMs?: number
  pollMs?: number
}

const pollMsDefault = 2_000
const shownMax = 50

/** Shows a rollout until it has ended: drawn in place on a terminal, line by line elsewhere. Returns how it ended. */
export async function watchRollout(client: Client, io: Pick<Io, 'out' | 'terminal' | 'nowMs' | 'sleep'>, rollout: string, options: WatchOptions): Promise<End> {
  const screen = io.terminal() === null ? null : createScreen(io)
  const startMs = io.nowMs()
  for (let before: RolloutView | null = null; ; ) {
    const view = await client.call(rolloutContracts.getRollout, { params: { rollout } })
    if (screen !== null) screen.draw(renderRollout(view, await readInFlight(client, view), io.nowMs()))
    else for (const line of renderChanges(before, view)) io.out(`${new Date(io.nowMs()).toISOString().slice(0, 19)}Z ${line}\n`)
    before = view
    const end = judgeEnd(view, options.stay)
    if (end !== null) return end
    if (options.limitMs !== undefined && io.nowMs() - startMs >= options.limitMs) return { exit: 'wait-over', text: 'the time is over; the rollout goes on' }
    await io.sleep(options.pollMs ?? pollMsDefault)
  }
}

/** The sites that hold a place: those that need hands, those at work, then those that have yet to begin. */
export async function readInFlight(client: Client, { id, counts }: RolloutView): Promise<DeploymentView[]> {
  const states = (['needs-hands', 'running', 'granted'] as const).filter((state) => (counts[state] ?? 0) > 0)
  const pages = await Promise.all(states.map((state) => client.call(rolloutContracts.listDeployments, { params: { rollout: id }, query: { state, limit: shownMax } })))
  return pages.flatMap((page) => page.items)
}
