import { selects, type Labels } from '../../protocol/labels.ts'
import { amountUp, type RolloutPolicy, type WavePolicy } from '../../protocol/policy.ts'

/** A site that the rollout will move, with what its place is decided from. `lot` spreads sites evenly and is the same each time it is computed. */
export type Member = { siteId: string; labels: Labels; lot: string }

/** Where a member goes: the wave's ordinal, its order inside the rollout, its failure domain. */
export type Placement = { siteId: string; wave: number; place: number; grp: string }

/**
 * Decides waves and their members once (faults F60): by lot, each wave taking its share of all members among those its
 * selector admits. Whoever no wave took joins the last one, so that nobody selected is silently left out. Waves that stay empty vanish.
 */
export function assignWaves(members: readonly Member[], policy: RolloutPolicy): { waves: WavePolicy[]; placements: Placement[] } {
  const queue = [...members].sort((a, b) => (a.lot < b.lot ? -1 : a.lot > b.lot ? 1 : a.siteId < b.siteId ? -1 : 1))
  const taken = policy.waves.map(() => [] as Member[])
  let left = queue
  policy.waves.forEach((wave, ordinal) => {
    const admitted = wave.selector === undefined ? left : left.filter((member) => selects(wave.selector!, { id: member.siteId, labels: member.labels }))
    const size = wave.size === 'rest' ? admitted.length : Math.min(admitted.length, amountUp(wave.size, members.length))
    taken[ordinal] = admitted.slice(0, size)
    const chosen = new Set(taken[ordinal])
    left = left.filter((member) => !chosen.has(member))
  })
  // with nobody to move, the last wave stays for joiners and for those who are retried later
  const stays = (ordinal: number): boolean => taken[ordinal]!.length > 0 || (members.length === 0 && ordinal === policy.waves.length - 1)
  const waves = policy.waves.filter((_, ordinal) => stays(ordinal))
  const filled = taken.filter((_, ordinal) => stays(ordinal))
  if (left.length > 0) {
    const last = policy.waves[policy.waves.length - 1]!
    waves.push({ ...last, name: waves.some((wave) => wave.name === 'rest') ? 'rest-of-all' : 'rest', size: 'rest', selector: undefined, barrier: false, soak: 0, approval: false })
    filled.push(left)
  }
  let place = 0
  const placements = filled.flatMap((wave, ordinal) => wave.map((member) => ({ siteId: member.siteId, wave: ordinal, place: place++, grp: groupOf(member.labels, policy) })))
  return { waves, placements }
}

/** The failure domain of a site under a policy: the value of the `groupBy` label, empty without one. */
export const groupOf = (labels: Labels, policy: RolloutPolicy): string => (policy.groupBy === null ? '' : (labels[policy.groupBy.label] ?? ''))
