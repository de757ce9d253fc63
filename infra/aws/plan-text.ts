import type { Part } from './part.ts'

export type Step = 'create' | 'change' | 'keep'

const linesOf = (value: unknown): string[] => JSON.stringify(value, null, 2).split('\n')

export const stepOf = ({ held, wanted }: Part): Step => (held === null ? 'create' : linesOf(held).join('\n') === linesOf(wanted).join('\n') ? 'keep' : 'change')

/** One line for each part, and for those that change what goes and what comes. */
export const planText = (parts: readonly Part[]): string =>
  parts.map((part) => `${stepOf(part).padEnd(7)} ${part.name}\n${stepOf(part) === 'keep' ? '' : differenceOf(part).map((line) => `        ${line}\n`).join('')}`).join('')

/** The lines of both, each with `-` where it goes, `+` where it comes and a blank where it stays. */
function differenceOf({ held, wanted }: Part): string[] {
  const before = held === null ? [] : linesOf(held)
  const after = linesOf(wanted)
  // common[i][j]: the most lines that before[i…] and after[j…] have in common
  const common = Array.from({ length: before.length + 1 }, () => new Array<number>(after.length + 1).fill(0))
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) common[i]![j] = before[i] === after[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!)
  }
  const lines: string[] = []
  for (let i = 0, j = 0; i < before.length || j < after.length; ) {
    if (i < before.length && j < after.length && before[i] === after[j]) lines.push(`  ${before[i++]}`), j++
    else if (j === after.length || (i < before.length && common[i + 1]![j]! >= common[i]![j + 1]!)) lines.push(`- ${before[i++]}`)
    else lines.push(`+ ${after[j++]}`)
  }
  return lines
}
