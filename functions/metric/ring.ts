import { limits } from '../../protocol/limits.ts'

const dayMs = 86_400_000
/** How far back the ring of a site reaches. */
export const ringMs = limits.metricSlots * limits.metricBlockMs

/** The slot of the block that begins then. */
export const slotOf = (startMs: number): number => Math.floor(startMs / limits.metricBlockMs) % limits.metricSlots
/** Days are counted since 1970, in UTC. */
export const dayOf = (timeMs: number): number => Math.floor(timeMs / dayMs)
export const startOfDay = (day: number): number => day * dayMs
export const daySlotOf = (day: number): number => day % limits.metricDays
