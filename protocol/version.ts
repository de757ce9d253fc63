import * as z from 'zod'
import { Version } from './ids.ts'

function parts(version: Version): { numbers: number[]; pre: string[] } {
  const dash = version.indexOf('-')
  const core = dash < 0 ? version : version.slice(0, dash)
  return { numbers: core.split('.').map(Number), pre: dash < 0 ? [] : version.slice(dash + 1).split('.') }
}

function compareIdentifiers(a: string, b: string): number {
  const aNumeric = /^\d+$/.test(a)
  const bNumeric = /^\d+$/.test(b)
  if (aNumeric && bNumeric) return Number(a) - Number(b)
  if (aNumeric !== bNumeric) return aNumeric ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

/** Order of Semantic Versioning 2.0.0 §11: negative when `a` precedes `b`. */
export function compareVersions(a: Version, b: Version): number {
  const left = parts(a)
  const right = parts(b)
  for (let i = 0; i < 3; i++) {
    const difference = left.numbers[i]! - right.numbers[i]!
    if (difference !== 0) return difference
  }
  if (left.pre.length === 0 || right.pre.length === 0) return right.pre.length - left.pre.length
  for (let i = 0; i < Math.max(left.pre.length, right.pre.length); i++) {
    const l = left.pre[i]
    const r = right.pre[i]
    if (l === undefined || r === undefined) return l === undefined ? -1 : 1
    const difference = compareIdentifiers(l, r)
    if (difference !== 0) return difference
  }
  return 0
}

const COMPARATOR = /^(>=|<=|>|<|=)?(\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z.-]+)?)$/

/** Comparators joined by spaces, all of which must hold: `>=1.2.0 <2.0.0`, `1.4.2`, or `*` for any version. */
export const VersionRange = z
  .string()
  .max(200)
  .refine((range) => range === '*' || (range.trim() !== '' && range.trim().split(/ +/).every((c) => COMPARATOR.test(c))), {
    message: 'must be * or comparators such as ">=1.2.0 <2.0.0"',
  })
export type VersionRange = z.infer<typeof VersionRange>

/** Whether a version lies in a range. A pre-release counts by its order alone: `1.2.0-rc.1` is in `<1.2.0`. */
export function inRange(version: Version, range: VersionRange): boolean {
  if (range === '*') return true
  return range
    .trim()
    .split(/ +/)
    .every((comparator) => {
      const [, operator = '=', bound = ''] = COMPARATOR.exec(comparator) ?? []
      const order = compareVersions(version, bound)
      switch (operator) {
        case '>=': return order >= 0
        case '<=': return order <= 0
        case '>': return order > 0
        case '<': return order < 0
        default: return order === 0
      }
    })
}
