import { canonicalJson } from '../../../protocol/bytes.ts'
import type { Directive } from '../../../protocol/directives.ts'
import { comparePositions, type Position } from '../../../protocol/ids.ts'
import type { AttemptReport, Report, StandingAlarm } from '../../../protocol/reports.ts'
import type { Outcome } from '../../../protocol/states.ts'
import { checkUpgradePath } from '../../../protocol/upgrade-path.ts'
import { payloadOf } from '../../support/payload-of.ts'
import type { SimFleet } from '../fleet.ts'
import type { SimRelease } from '../releases.ts'
import type { AgentEvent, SimSite } from '../site.ts'
import { checkBytes, checkOutcome, lookAtNodes } from './check-machine.ts'
import { checkRows, reportKey, type Finding } from './check-rows.ts'
import { emptyRows, readRows, type Rows } from './rows.ts'

/** What the checkers know of one machine, from outside. */
type Machine = {
  site: SimSite
  running: SimRelease | null
  /** What a site whose last attempt needs hands may show. */
  mixed: boolean
  history: Set<string>
  accepted: Map<string, { position: Position; life: number }>
  /** The newest acceptance that was said, and is not on the disk for sure. */
  unsure: { kind: string; before: { position: Position; life: number } | undefined } | null
  begun: Set<string>
  ended: Set<string>
  /** Ends that were said and are not looked into yet, in their order. */
  ends: AttemptEnd[]
  fenced: boolean
  /** Its disk is to be looked at when all is at rest. */
  due: boolean
}
type AttemptEnd = { deployment: string; attempt: number; outcome: Outcome }
type Granted = { startByMs: number }

/** Watches a whole run; the first finding is the run's violation. */
export class Checkers {
  readonly outcomes = new Map<string, number>()
  /** Alarms raised, by id, and rollouts that paused over one. */
  readonly alarms = new Map<string, number>()
  rows: Rows = emptyRows()
  private readonly fleet: SimFleet
  private auditSeq = 0
  private readonly reports = new Map<string, Report>()
  private readonly gone = new Set<string>()
  private readonly grants = new Map<string, Granted>()
  private readonly targets = new Map<string, string | null>()
  private readonly machines = new Map<string, Machine>()
  private readonly trusts = new Map<string, { seq: number; version: number }>()
  private readonly hasCopy = new Set<string>()
  private readonly stands = new Map<string, { incarnation: number; seq: number; alarms: readonly StandingAlarm[] }>()
  /** What sites said of single alarms, the newest of each. */
  private readonly changes = new Map<string, Report & { body: { kind: 'alarm' } }>()
  /** Sites whose disk refused to reserve numbers (F23): a crash may then make them use some twice. */
  private readonly numbersInDoubt = new Set<string>()

  constructor(fleet: SimFleet) {
    this.fleet = fleet
    fleet.controller.onRestored = () => this.restored()
    fleet.controller.onLanded = (rowsChanged) => (rowsChanged === 0 ? Promise.resolve() : this.landed())
    fleet.broker.onSpoken = ({ payload }) => this.heard(payloadOf<Report>(payload))
    fleet.broker.onPublished = ({ payload }) => this.published(payloadOf<Directive>(payload))
    fleet.listeners.push((event) => this.saw(event))
    fleet.world.atRest = () => this.atRest()
  }

  /** A machine that has another's disk, or a copy of it, has its history. */
  inherit(heir: SimSite, from: SimSite): void {
    const { running, mixed, history, begun, ended } = this.machine(from)
    Object.assign(this.machine(heir), { running, mixed, history: new Set(history), begun: new Set(begun), ended: new Set(ended) })
  }

  /** From now on two machines speak for this site: what they say cannot be told apart. */
  doubt(id: string): void {
    this.hasCopy.add(id)
    for (const key of this.reports.keys()) if (key.startsWith(`${id}/`)) this.reports.delete(key)
  }

  machine(site: SimSite): Machine {
    const known = this.machines.get(site.name) ?? { site, running: null, mixed: false, history: new Set(), accepted: new Map(), unsure: null, begun: new Set(), ended: new Set(), ends: [], fenced: false, due: false }
    this.machines.set(site.name, known)
    return known
  }

  private find(findings: readonly Finding[]): void {
    for (const { invariant, evidence } of findings) this.fleet.world.violate(invariant, evidence)
  }

  private async landed(): Promise<void> {
    const after = await readRows(this.fleet.controller.db, this.auditSeq)
    this.find(checkRows(this.rows, after, { reports: this.reports, gone: this.gone }, this.fleet.world.nowMs))
    for (const [key, d] of after.deployments) if (this.rows.deployments.get(key)?.state !== d.state) this.fleet.world.note(`# ${key} ${this.rows.deployments.get(key)?.state ?? '-'} -> ${d.state} (${d.attempt})`)
    if (this.fleet.controller.restores > 0) this.checkMadeAlready(after)
    this.countAlarms(after)
    this.auditSeq = after.audit.at(-1)?.seq ?? this.auditSeq
    this.rows = after
  }

  private countAlarms(after: Rows): void {
    const count = (what: string): unknown => this.alarms.set(what, (this.alarms.get(what) ?? 0) + 1)
    const stood = new Set(standingIn(this.rows))
    for (const name of standingIn(after)) if (!stood.has(name)) count(name.slice(0, name.indexOf(' ')))
    for (const { id, alarmPause } of after.rollouts.values()) if (alarmPause !== null && this.rows.rollouts.get(id)?.alarmPause === null) count('pause')
  }

  /** F58, I17: the past begins nothing by itself. What is held against it from now on is what the backup says. */
  private async restored(): Promise<void> {
    this.rows = await readRows(this.fleet.controller.db, 0)
    this.auditSeq = this.rows.audit.at(-1)?.seq ?? 0
    for (const rollout of this.rows.rollouts.values()) {
      if (rollout.pauses === 0 && (rollout.state === 'running' || rollout.state === 'scheduled')) this.find([{ invariant: 'I17', evidence: `rollout ${rollout.id} goes on after the restore` }])
    }
    for (const d of this.rows.deployments.values()) if (d.state === 'granted' || d.state === 'running') this.find([{ invariant: 'I17', evidence: `${d.rollout}:${d.site} is ${d.state} after the restore` }])
    this.find(checkRows(this.rows, this.rows, { reports: this.reports, gone: this.gone }, this.fleet.world.nowMs))
  }

  /** I17: what a site did in the lost hour has been learnt from its hello before anything is granted to it. */
  private checkMadeAlready(after: Rows): void {
    for (const [key, d] of after.deployments) {
      const isTaken = d.state === 'granted' && d.attempt > (this.rows.deployments.get(key)?.attempt ?? 0)
      const site = this.fleet.sites.get(d.site)
      if (isTaken && site !== undefined && !this.hasCopy.has(d.site) && this.machine(site).begun.has(`${key}/${d.attempt}`)) this.find([{ invariant: 'I17', evidence: `${d.site} was granted attempt ${d.attempt} of ${d.rollout}, which it made before the restore` }])
    }
  }

  private heard(report: Report): void {
    const { site, incarnation, seq, body } = report
    const key = reportKey(site, incarnation, seq)
    const known = this.reports.get(key)
    if (known !== undefined && !this.hasCopy.has(site) && !this.numbersInDoubt.has(site) && canonicalJson(known.body) !== canonicalJson(body)) {
      this.find([{ invariant: 'I8', evidence: `two different reports of ${site} have the number ${seq}: ${JSON.stringify(known.body)} and ${JSON.stringify(body)}` }])
    }
    if (!this.hasCopy.has(site)) this.reports.set(key, report)
    if (body.kind === 'gone') this.gone.add(body.connectionId)
    if (body.kind === 'metrics' || body.kind === 'standing') this.standsNow(report, body.alarms)
    if (body.kind === 'alarm') this.changesNow({ ...report, body })
    // an end that nobody saw, because the power went right after it
    const own = this.fleet.sites.get(site)
    const attempt = body.kind === 'hello' || body.kind === 'progress' ? body.attempt : null
    if (own !== undefined && attempt !== null && attempt.outcome !== null && !this.machine(own).ended.has(endOf(attempt))) this.machine(own).due = true
    if (body.kind !== 'hello' || this.hasCopy.has(site)) return
    const newest = this.trusts.get(`${site}/${incarnation}`)
    if (newest !== undefined && seq > newest.seq && body.trustVersion < newest.version) this.find([{ invariant: 'I3', evidence: `${site} went from trust ${newest.version} back to ${body.trustVersion}` }])
    if (newest === undefined || seq > newest.seq) this.trusts.set(`${site}/${incarnation}`, { seq, version: body.trustVersion })
  }

  private standsNow({ site, incarnation, seq }: Report, alarms: readonly StandingAlarm[]): void {
    const known = this.stands.get(site)
    if (known === undefined || known.incarnation < incarnation || (known.incarnation === incarnation && known.seq < seq)) this.stands.set(site, { incarnation, seq, alarms })
  }

  private changesNow(report: Report & { body: { kind: 'alarm' } }): void {
    const key = `${report.site} ${report.body.alarmId} ${report.body.entity}`
    const known = this.changes.get(key)
    if (known === undefined || known.incarnation < report.incarnation || (known.incarnation === report.incarnation && known.seq < report.seq)) this.changes.set(key, report)
  }

  /** What sites said last of all that stands there, with what they have said of single alarms since. */
  get told(): Map<string, readonly StandingAlarm[]> {
    return new Map([...this.stands].map(([site, { incarnation, seq, alarms }]) => {
      const since = [...this.changes.values()].filter((change) => change.site === site && change.incarnation === incarnation && change.seq > seq)
      const untouched = alarms.filter(({ alarmId, entity }) => !since.some(({ body }) => body.alarmId === alarmId && body.entity === entity))
      return [site, [...untouched, ...since.flatMap(({ body }) => (body.raised ? [{ ...body, sinceMs: body.sinceMs ?? 0 }] : []))]]
    }))
  }

  private published(directive: Directive): void {
    if (directive.kind === 'grant') this.grants.set(`${directive.deployment}/${directive.attempt}`, { startByMs: directive.startByMs })
    if (directive.kind === 'desired' && directive.deployment !== null) this.targets.set(directive.deployment, directive.release?.digest ?? null)
  }

  private saw({ site, event, facts }: AgentEvent): void {
    const machine = this.machine(site)
    if (event === 'seq-not-reserved') this.numbersInDoubt.add(site.plan.id)
    if (event === 'fenced') machine.fenced = true
    if (event === 'dark' || event === 'attempt' || event === 'recovered' || event === 'hands-have-helped') machine.due = true
    if (event === 'directive' && (facts.verdict === 'accept' || facts.verdict === 'wait')) this.accepted(machine, String(facts.kind), facts.position as Position)
    if (event === 'directive-not-handled' && machine.unsure !== null) this.unaccept(machine, machine.unsure)
    if (event === 'attempt' && facts.phase === 'ended') machine.ends.push(facts as AttemptEnd)
    if (event === 'attempt' && facts.phase === 'staging') this.began(machine, String(facts.deployment), Number(facts.attempt))
  }

  /** I5 */
  private accepted(machine: Machine, kind: string, position: Position): void {
    const { site } = machine
    const last = machine.accepted.get(kind)
    const order = last === undefined ? 1 : comparePositions(position, last.position)
    // it is said before it is on the disk: after a crash the same may be accepted again
    if (order < 0 || (order === 0 && last!.life === site.lives)) this.find([{ invariant: 'I5', evidence: `${site.name} accepted a ${kind} at ${JSON.stringify(position)} after ${JSON.stringify(last!.position)}` }])
    machine.unsure = { kind, before: last }
    machine.accepted.set(kind, { position, life: site.lives })
  }

  /** The disk refused it (F23). */
  private unaccept(machine: Machine, { kind, before }: NonNullable<Machine['unsure']>): void {
    if (before === undefined) machine.accepted.delete(kind)
    else machine.accepted.set(kind, before)
    machine.unsure = null
  }

  /** I6, and the second half of I5 */
  private began(machine: Machine, deployment: string, attempt: number): void {
    const { site } = machine
    const { world } = this.fleet
    const key = `${deployment}/${attempt}`
    const grant = this.grants.get(key)
    if (grant === undefined) return this.find([{ invariant: 'I6', evidence: `${site.name} began ${key}, for which no grant was ever given` }])
    const row = this.rows.deployments.get(deployment)
    if (!this.hasCopy.has(site.plan.id) && row !== undefined && row.attempt === attempt && row.state === 'pending') this.find([{ invariant: 'I7', evidence: `${site.name} began ${key}, which the controller has taken back: it holds no place` }])
    const lagMs = site.plan.tellsSynchronised ? 1000 : Math.max(0, world.nowMs - site.wallMs())
    if (world.nowMs > grant.startByMs + lagMs) this.find([{ invariant: 'I6', evidence: `${site.name} began ${key} ${world.nowMs - grant.startByMs} ms after its startBy; its clock is ${lagMs} ms behind` }])
    if (machine.begun.has(key)) this.find([{ invariant: this.fleet.controller.restores > 0 ? 'I17' : 'I5', evidence: `${site.name} began ${key} twice` }])
    if (machine.fenced) this.find([{ invariant: 'I6', evidence: `${site.name} is fenced, and began ${key}` }])
    machine.begun.add(key)
  }

  /** I1, I2, I4: what the disks say, whenever something may have moved. */
  private async atRest(): Promise<void> {
    for (const machine of this.machines.values()) {
      if (!machine.due || this.fleet.world.violation !== null) continue
      machine.due = false
      const views = await lookAtNodes(machine.site)
      this.find(checkBytes(machine.site, views, this.fleet.releases))
      const now = statusOf(machine.site)?.attempt ?? null
      const ends = [...machine.ends.splice(0), ...(now === null || now.outcome === null ? [] : [now as AttemptEnd])].filter((end) => !machine.ended.has(endOf(end)))
      for (const [i, end] of ends.entries()) {
        const key = endOf(end)
        if (machine.ended.has(key)) continue
        machine.ended.add(key)
        const to = this.fleet.releaseOf(this.targets.get(end.deployment))
        // the disk shows how the last one ended, unless the next has begun or the power has gone
        const isShown = now !== null && endOf(now) === key && ends.slice(i + 1).every((later) => endOf(later) === key)
        if (isShown && (!machine.mixed || end.outcome === 'succeeded')) this.find(checkOutcome(machine.site, views, end.outcome, machine.running, to, key))
        this.conclude(machine, end.outcome, to, key)
      }
    }
  }

  private conclude(machine: Machine, outcome: Outcome, to: SimRelease | null, key: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1)
    if (outcome === 'needs-hands') machine.mixed = true
    if (outcome !== 'succeeded' || to === null) return
    const path = checkUpgradePath(machine.running?.ref.id ?? null, to.manifest)
    const isKnown = machine.history.has(to.ref.digest) || machine.running === to
    if (!path.ok && !isKnown) this.find([{ invariant: 'I4', evidence: `${machine.site.name} went to ${to.ref.id} by ${key}: ${path.refusal.detail}, and it is not in its history` }])
    machine.running = to
    machine.mixed = false
    machine.history.add(to.ref.digest)
  }
}

const standingIn = (rows: Rows): string[] => rows.alarms.flatMap(({ isStanding, alarmId, entity, site }) => (isStanding === 1 ? [`${alarmId} ${entity} ${site}`] : []))

export const statusOf = (site: SimSite) => {
  if (!site.running || site.agent === null) return null
  try {
    return site.agent.status()
  } catch {
    return null
  }
}

const endOf = ({ deployment, attempt, outcome }: Pick<AttemptReport, 'attempt' | 'outcome'> & { deployment: string }): string => `${deployment}/${attempt}/${outcome}`
