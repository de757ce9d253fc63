/** Numbers that follow from a seed alone. Each part of the simulator forks its own, so that one part's draws do not shift another's. */
export interface Random {
  /** In [0, 1). */
  fraction(): number
  /** Whole, in [from, to]. */
  between(from: number, to: number): number
  /** True with this probability; probability 0 draws too, so that switching a fault off shifts nothing else. */
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
  bytes(length: number): Uint8Array
  fork(name: string): Random
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** A Weyl sequence with a strong finaliser (the mixing of MurmurHash3): enough for schedules, not for secrets. */
export function seededRandom(seed: string): Random {
  let state = hashOf(seed)
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
  const fraction = (): number => next() / 2 ** 32
  const between = (from: number, to: number): number => from + Math.floor(fraction() * (to - from + 1))
  return {
    fraction,
    between,
    chance: (probability) => fraction() < probability,
    pick: (list) => list[between(0, list.length - 1)]!,
    bytes: (length) => Uint8Array.from({ length }, () => next() & 255),
    fork: (name) => seededRandom(`${seed}/${name}`),
  }
}
