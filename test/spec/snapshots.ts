import { ReleaseId, type Digest, type ReleaseRef } from '../../protocol/ids.ts'
import { Manifest } from '../../protocol/manifest.ts'
import { RolloutPolicy, WavePolicy } from '../../protocol/policy.ts'
import { inFlightStates, type DeploymentState } from '../../protocol/states.ts'
import { emptyTally, type Candidate, type RolloutSnapshot, type SiteFacts, type Tally, type TargetFacts, type WaveFacts } from '../../functions/rollout/snapshot.ts'

/** Snapshots of rollouts as decisions see them, said in as few words as a test needs. */
export const nowMs = Date.UTC(2026, 5, 1, 12)

export const releaseOf = (id: string): ReleaseRef => ({ id: ReleaseId.parse(id), digest: Buffer.from(id).toString('hex').padEnd(64, '0').slice(0, 64) as Digest })
export const [running, wanted] = [releaseOf('shop@1.0.0'), releaseOf('shop@2.0.0')]

function manifestOf(id: string, changes: Record<string, unknown> = {}): Manifest {
  const [name, version] = id.split('@')
  const tree = { digest: 'ab'.repeat(32), listingBytes: 1, size: 1, files: 1 }
  return Manifest.parse({ v: 1, kind: 'release', name, version, createdAtMs: 0, components: [{ name: 'app', version: '1', config: { driver: 'files', target: '/opt/app' }, tree }], ...changes })
}

export const targetOf = (ref: ReleaseRef, changes: Record<string, unknown> = {}, available = true): TargetFacts => ({ ref, manifest: manifestOf(ref.id, changes), available })

const tallyOf = (counts: Partial<Tally>): Tally => ({ ...emptyTally(), ...counts })

export function waveOf(ordinal: number, counts: Partial<Tally>, policy: Record<string, unknown> = {}, facts: Partial<WaveFacts> = {}): WaveFacts {
  return {
    ordinal, policy: WavePolicy.parse({ name: `w${ordinal}`, size: 'rest', ...policy }), state: ordinal === 0 ? 'open' : 'waiting', tally: tallyOf(counts), lastSuccessMs: null, approvedBy: null,
    gatingAlarms: 0, alarmsSince: null, failuresAcknowledged: 0, executedAcknowledged: 0, ...facts,
  }
}

export const siteOf = (id: string, facts: Partial<SiteFacts> = {}): SiteFacts => ({
  id, state: 'enrolled', presence: 'online', running, architecture: 'x86_64', protocolMin: 1, protocolMax: 1, timeZone: 'UTC', windows: [], freezes: [], locks: [], ...facts,
})

export const candidateOf = (siteId: string, changes: Partial<Omit<Candidate, 'site'>> & { site?: Partial<SiteFacts> } = {}): Candidate => ({
  siteId, wave: 0, place: 0, grp: '', state: 'pending', attempt: 0, notBeforeMs: 0, to: wanted, returnsFrom: null, rivals: [], agentUpdate: null, ...changes, site: siteOf(siteId, changes.site),
})

/** `count` candidates of one wave, in their places. */
export const candidates = (count: number, changes: Parameters<typeof candidateOf>[1] = {}, from = 0): Candidate[] =>
  Array.from({ length: count }, (_, i) => candidateOf(`s${from + i}`, { place: from + i, ...changes }))

/** A gating alarm that was raised at a site after it was granted. */
export const alarmSince = { count: 1, first: { siteId: 's0', alarmId: '120.003', entity: 'node=a.component=app', severity: 'critical', text: 'it does not answer' } } as const satisfies WaveFacts['alarmsSince']
/** A node where somebody works. */
export const lock = { node: 'worker-0', reason: 'a new disk', by: 'ann', atMs: nowMs }

type Draft = Partial<Omit<RolloutSnapshot, 'policy' | 'inFlightByGroup' | 'membersByGroup'>> & { policy?: Record<string, unknown>; groups?: Record<string, { members: number; inFlight: number }> }

export function snapshotOf({ policy = {}, groups = {}, ...draft }: Draft = {}): RolloutSnapshot {
  const byGroup = (of: 'members' | 'inFlight') => new Map(Object.entries(groups).map(([grp, group]) => [grp, group[of]]))
  return {
    id: 'ro_1', version: 7, name: 'two', state: 'running', policy: RolloutPolicy.parse({ maxParallel: 100, ...policy }), pauses: [], abortMode: null, back: false, priority: 0, createdMs: 1000,
    startAtMs: null, startedMs: nowMs - 1000, parkedUntilMs: nowMs + 86_400_000, wakeMs: null, after: null, waves: [waveOf(0, {})], outside: emptyTally(),
    inFlightByGroup: byGroup('inFlight'), membersByGroup: byGroup('members'), targets: new Map([[wanted.digest, targetOf(wanted)]]),
    candidates: [], overdue: [], nextDeadlineMs: null, nextNotBeforeMs: null, ...draft,
  }
}

/** How many hold a place. */
export const inFlightOf = (snapshot: RolloutSnapshot): number => snapshot.waves.reduce((sum, wave) => sum + inFlightStates.reduce((n, state: DeploymentState) => n + wave.tally[state], 0), 0)
