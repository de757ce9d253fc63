import { limits } from '../../protocol/limits.ts'

const headLength = Math.floor(limits.alarmEntityMax / 2)

/** An entity that reports have room for: one that is too long loses its middle. */
export const entityOf = (text: string): string =>
  (text.length <= limits.alarmEntityMax ? text : `${text.slice(0, headLength)}…${text.slice(text.length - (limits.alarmEntityMax - headLength - 1))}`).toWellFormed()

/** What a site or a tool says, no longer than it may be. */
export const bounded = (text: string, lengthMax = 300): string => text.slice(0, lengthMax).toWellFormed()
