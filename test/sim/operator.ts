import type { Checkers } from './checks/checkers.ts'
import type { SimFleet } from './fleet.ts'
import type { Random } from './random.ts'
import { buildRelease, type ReleasePlan } from './releases.ts'
import type { Scenario } from './scenario.ts'

/** What people do: publish, start, and meddle. A request that is refused or fails is part of the day. */
export class Operator {
  private readonly fleet: SimFleet
  private readonly random: Random
  private readonly checkers: Checkers
  readonly rollouts: string[] = []
  readonly deeds = new Map<string, number>()

  constructor(fleet: SimFleet, random: Random, checkers: Checkers) {
    this.fleet = fleet
    this.random = random
    this.checkers = checkers
  }

  async publishAll(plans: readonly ReleasePlan[]): Promise<void> {
    for (const plan of plans) await this.fleet.publish(buildRelease(plan))
  }

  async do(what: string, method: string, path: string, body?: unknown): Promise<Record<string, unknown> | null> {
    const answer = await this.fleet.controller.call(method, path, body)
    this.deeds.set(what, (this.deeds.get(what) ?? 0) + 1)
    this.fleet.world.note(`operator ${what} ${path} ${answer.status}${answer.status < 300 ? '' : ` ${String(answer.body.detail)}`}`)
    return answer.status < 300 ? answer.body : null
  }

  async startRollout(plan: Scenario['rollouts'][number], release: ReleasePlan): Promise<void> {
    const { selector, policy, replaces } = plan
    const made = await this.do('start', 'POST', '/v1/rollouts', { name: `to ${release.version}`, target: { release: `shop@${release.version}` }, selector, policy, replaces })
    // an answer that was lost: a person looks, and finds it
    for (const id of made === null ? await this.listRollouts() : [String(made.id)]) if (!this.rollouts.includes(id)) this.rollouts.push(id)
  }

  private async listRollouts(): Promise<string[]> {
    const found = await this.fleet.controller.call('GET', '/v1/rollouts')
    return ((found.body.items ?? []) as { id: string }[]).map((rollout) => rollout.id)
  }

  /** I11: a selector that says nothing selects nothing. */
  async tryEmptySelector(version: string): Promise<void> {
    const answer = await this.fleet.controller.call('POST', '/v1/rollouts', { name: 'nothing', target: { release: `shop@${version}` }, selector: {} })
    if (answer.status < 300) this.fleet.world.violate('I11', 'a rollout with an empty selector was created')
  }

  start(everyMs: number): { stop(): void } {
    let busy = true
    const next = (): void => {
      if (!busy) return
      this.fleet.world.after(-Math.log(1 - this.random.fraction()) * everyMs, 'deed', next)
      void this.meddle()
    }
    this.fleet.world.after(this.random.fraction() * everyMs, 'deed', next)
    return { stop: () => (busy = false) }
  }

  private async meddle(): Promise<void> {
    if (this.rollouts.length === 0) return
    const path = `/v1/rollouts/${this.random.pick(this.rollouts)}`
    const site = this.random.pick([...this.fleet.sites.keys()])
    const reason = 'somebody wanted it so'
    switch (this.random.between(0, 8)) {
      case 0: return void (await this.do('pause', 'POST', `${path}/pause`, { reason }))
      case 1:
      case 2: return void (await this.do('resume', 'POST', `${path}/resume`, { reason }))
      case 3:
      case 4: return void (await this.do('approve', 'POST', `${path}/approve`, { reason }))
      case 5: return void (await this.do('retry', 'POST', `${path}/retry`, this.random.chance(0.5) ? { reason } : { reason, sites: [site] }))
      case 6: return void (await this.do('waive', 'POST', `${path}/waive`, { reason, sites: [site] }))
      case 7: return void (this.random.chance(0.4) && (await this.do('abort', 'POST', `${path}/abort`, { reason, mode: this.random.pick(['finish', 'safe-point', 'revert']) })))
      default: {
        if (!this.random.chance(0.4)) return
        const made = await this.do('rollback', 'POST', `${path}/rollback`, { reason })
        if (made !== null) this.rollouts.push(String(made.id))
      }
    }
  }

  /** Somebody has looked at what gates, and has seen it. */
  private async acknowledgeAll(note: string): Promise<void> {
    for (const { site, alarmId, entity, isStanding, isAcknowledged, severity } of this.checkers.rows.alarms) {
      if (isStanding === 1 && isAcknowledged === 0 && severity === 'critical') await this.do('acknowledge', 'POST', '/v1/alarms/acknowledge', { site, alarmId, entity, note })
    }
  }

  /** At the end somebody tidies up: what waits for a person gets one; with `last`, what still stands still is given up. */
  async tidyUp(last: boolean): Promise<void> {
    const reason = 'the storm is over'
    await this.acknowledgeAll(reason)
    for (const rollout of this.checkers.rows.rollouts.values()) {
      if (rollout.state !== 'running' && rollout.state !== 'completed' && rollout.state !== 'scheduled') continue
      const path = `/v1/rollouts/${rollout.id}`
      const hands = [...this.checkers.rows.deployments.values()].filter((d) => d.rollout === rollout.id && d.state === 'needs-hands')
      if (hands.length > 0) await this.do('waive', 'POST', `${path}/waive`, { reason, sites: hands.map((d) => d.site) })
      if (rollout.pauses > 0) await (last ? this.do('abort', 'POST', `${path}/abort`, { reason, mode: 'finish' }) : this.do('resume', 'POST', `${path}/resume`, { reason }))
      await this.do('approve', 'POST', `${path}/approve`, { reason })
    }
  }
}
