/** One thing of the account: as it is (null where it is not), as it should be, and how to make it so. Both are shown to people, so neither holds a secret. */
export type Part = { name: string; held: unknown; wanted: unknown; make(): Promise<void> }

/** What of a value from AWS has a counterpart in what is wanted: it answers with fields of its own, too. */
export function counterpart(held: unknown, wanted: unknown): unknown {
  if (Array.isArray(held) && Array.isArray(wanted)) return held.map((each, i) => (i < wanted.length ? counterpart(each, wanted[i]) : each))
  if (!isRecord(held) || !isRecord(wanted)) return held
  return Object.fromEntries(Object.keys(wanted).flatMap((key) => (key in held && held[key] !== undefined ? [[key, counterpart(held[key], wanted[key])]] : [])))
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
