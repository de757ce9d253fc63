import { alarmIds, saidOnceAlarms } from '../../protocol/alarms.ts'
import { canonicalJson } from '../../protocol/bytes.ts'
import { splitDeploymentId, type DeploymentId, type Digest, type Position, type RolloutId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { LiveSample, MetricBlock } from '../../protocol/metrics.ts'
import type { AttemptReport, Greeting, Report, ReportBody, StandingAlarm } from '../../protocol/reports.ts'
import { assertNever } from '../../protocol/result.ts'
import type { DeploymentEvent } from '../../protocol/states.ts'

type BodyOf<K extends ReportBody['kind']> = Extract<ReportBody, { kind: K }>
type Stamp = { site: string; incarnation: number; seq: number; bootId: string }

/**
 * What a batch of verified reports says, as rows for the database: at most one of a kind for each site (or attempt, or
 * alarm), the newest by sequence, because a report is state and not an event (SPEC I8).
 */
export type Folded = {
  hellos: (Stamp & { sentAtMs: number; body: BodyOf<'hello'> })[]
  /** Agents that have no protocol version in common with us, and said something of which no more can be read. */
  greetings: (Stamp & { body: Greeting['body'] })[]
  goodbyes: (Stamp & { connectionId: string })[]
  attempts: (Stamp & { rolloutId: RolloutId; event: DeploymentEvent; attempt: AttemptReport })[]
  /** What runs at a site, from hello or from the end of an attempt. */
  states: (Stamp & { running: string | null; previous: string | null; nodes: string; attempt: string | null })[]
  staged: (Stamp & { digest: string; fault: string | null })[]
  inventories: (Stamp & { facts: string })[]
  /** Sites that hold a newer position than we may know of. */
  positions: (Stamp & { held: Position })[]
  /** Sites that lack what a directive built on: it goes out again. */
  resend: Stamp[]
  /** Of a site that also said what stands there, only those that it said later. */
  alarms: (Stamp & BodyOf<'alarm'>)[]
  /** All alarms that stand at a site, said by itself or with metrics: what it raised before and is not among them has cleared. */
  standing: (Stamp & { alarms: readonly StandingAlarm[] })[]
  /** Which settings a site says it watches by, with what stands there. */
  follows: (Stamp & { monitoring: Digest | null })[]
  /** Each quarter of an hour by itself. */
  metrics: (Stamp & { sentAtMs: number; block: MetricBlock })[]
  lives: (Stamp & { sample: LiveSample })[]
  answers: (Stamp & BodyOf<'answer'>)[]
}

const newestFirst = (a: Pick<Stamp, 'incarnation' | 'seq'>, b: Pick<Stamp, 'incarnation' | 'seq'>): number => b.incarnation - a.incarnation || b.seq - a.seq

/** Event of the deployment table that an attempt's report stands for. */
export function eventOf(attempt: AttemptReport): DeploymentEvent {
  return attempt.phase === 'ended' && attempt.outcome !== null ? attempt.outcome : 'started'
}

/** Which alarm a refused directive raises: somebody else's voice, or a site that cannot follow ours. */
const suspicious: ReadonlySet<string> = new Set(['bad-signature', 'malformed', 'wrong-site', 'retained'])

/** Folds reports in any order, with repeats, into the newest of each kind. Pure: the same reports give the same rows, however they arrive. */
export function foldReports(reports: readonly Report[], greetings: readonly Greeting[] = []): Folded {
  const newest = new Map<string, unknown>()
  const folded: Folded = { hellos: [], greetings: [], goodbyes: [], attempts: [], states: [], staged: [], inventories: [], positions: [], resend: [], alarms: [], standing: [], follows: [], metrics: [], lives: [], answers: [] }
  const put = <T>(list: T[], kind: string, key: string, item: T) => {
    if (newest.has(`${kind}/${key}`)) return
    newest.set(`${kind}/${key}`, true)
    list.push(item)
  }
  // newest first: the first of each kind is the one that counts
  for (const { site, incarnation, seq, bootId, body } of [...greetings].sort(newestFirst)) put(folded.greetings, 'greeting', site, { site, incarnation, seq, bootId, body })
  for (const report of [...reports].sort(newestFirst)) {
    const { site, incarnation, seq, bootId, body } = report
    const stamp: Stamp = { site, incarnation, seq, bootId }
    const putAttempt = (attempt: AttemptReport) => put(folded.attempts, 'attempt', attempt.deployment, { ...stamp, rolloutId: splitDeploymentId(attempt.deployment).rollout, event: eventOf(attempt), attempt })
    switch (body.kind) {
      case 'hello':
        put(folded.hellos, 'hello', site, { ...stamp, sentAtMs: report.sentAtMs, body })
        put(folded.states, 'state', site, stateRow(stamp, body))
        if (body.attempt !== null && ownAttempt(site, body.attempt.deployment)) putAttempt(body.attempt)
        if (isLiftable(body.held.newest)) put(folded.positions, 'position', site, { ...stamp, held: body.held.newest })
        break
      case 'progress':
        // on the way nothing about the site itself has changed yet; its end will say what it runs
        if (body.attempt.phase === 'ended') put(folded.states, 'state', site, stateRow(stamp, body))
        if (ownAttempt(site, body.attempt.deployment)) putAttempt(body.attempt)
        break
      case 'gone':
        put(folded.goodbyes, 'gone', `${site}/${body.connectionId}`, { ...stamp, connectionId: body.connectionId })
        break
      case 'staged':
        put(folded.staged, 'staged', site, { ...stamp, digest: body.release.digest, fault: body.fault === null ? null : JSON.stringify(body.fault) })
        break
      case 'inventory':
        put(folded.inventories, 'inventory', site, { ...stamp, facts: canonicalJson(body.facts) })
        break
      case 'rejected':
        foldRejected(folded, put, stamp, body)
        break
      case 'alarm':
        put(folded.alarms, 'alarm', `${site}/${body.alarmId}/${body.entity}`, { ...stamp, ...body })
        break
      case 'standing':
        put(folded.standing, 'standing', site, { ...stamp, alarms: body.alarms })
        put(folded.follows, 'follows', site, { ...stamp, monitoring: body.monitoring })
        break
      case 'metrics':
        put(folded.metrics, 'metrics', `${site}/${body.block.startMs}`, { ...stamp, sentAtMs: report.sentAtMs, block: body.block })
        put(folded.standing, 'standing', site, { ...stamp, alarms: body.alarms })
        break
      case 'live':
        folded.lives.push({ ...stamp, sample: body.sample })
        break
      case 'answer':
        put(folded.answers, 'answer', `${site}/${body.command}`, { ...stamp, ...body })
        break
      default:
        assertNever(body)
    }
  }
  const standing = new Map(folded.standing.map((each) => [each.site, each]))
  return { ...folded, alarms: folded.alarms.filter((each) => saidOnceAlarms.includes(each.alarmId) || newestFirst(each, standing.get(each.site) ?? { incarnation: 0, seq: 0 }) < 0) }
}

/** The next restore begins above the highest epoch of all sites: one that lies must not take it where none can follow (F15). */
const isLiftable = (held: Position | null): held is Position => held !== null && held.epoch <= limits.epochLiftedMax

/** A site speaks of its own deployments only (F40). */
const ownAttempt = (site: string, deployment: DeploymentId): boolean => splitDeploymentId(deployment).site === site

function stateRow(stamp: Stamp, body: BodyOf<'hello'> | BodyOf<'progress'>): Folded['states'][number] {
  const text = (value: unknown) => (value === null ? null : JSON.stringify(value))
  return { ...stamp, running: text(body.running), previous: text(body.previous), nodes: JSON.stringify(body.nodes), attempt: text(body.attempt) }
}

type Put = <T>(list: T[], kind: string, key: string, item: T) => void

function foldRejected(folded: Folded, put: Put, stamp: Stamp, body: BodyOf<'rejected'>): void {
  if (isLiftable(body.held)) put(folded.positions, 'position', stamp.site, { ...stamp, held: body.held })
  if (suspicious.has(body.reason)) {
    const text = `a ${body.directive} was refused as ${body.reason}: ${body.detail}`.slice(0, 500)
    put(folded.alarms, 'alarm', `${stamp.site}/${alarmIds.forgedDirective}/${body.reason}`, { ...stamp, kind: 'alarm', alarmId: alarmIds.forgedDirective, entity: body.reason, raised: true, severity: 'major', text })
    return
  }
  if (body.reason === 'unknown-desired') put(folded.resend, 'resend', stamp.site, stamp)
  const { deployment, attempt } = body
  if (deployment === null || attempt === null || !ownAttempt(stamp.site, deployment)) return
  const event: DeploymentEvent | null = body.reason === 'release-refused' ? 'failed' : ['expired', 'wrong-boot', 'clock-untrusted', 'unknown-desired'].includes(body.reason) ? 'not-started' : null
  if (event === null) return
  const fault = { code: body.reason, detail: body.detail }
  const report: AttemptReport = { deployment, attempt, phase: 'ended', outcome: event === 'failed' ? 'failed' : 'not-started', fault, nodesDone: 0, nodesTotal: 0, bytesDone: 0, bytesTotal: 0, requestId: 'rejected' }
  put(folded.attempts, 'attempt', deployment, { ...stamp, rolloutId: splitDeploymentId(deployment).rollout, event, attempt: report })
}
