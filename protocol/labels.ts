import * as z from 'zod'
import { limits } from './limits.ts'

const LabelKey = z
  .string()
  .max(317)
  .regex(/^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, 'must be a label key such as region or example.com/tier')
const LabelValue = z
  .string()
  .max(63)
  .regex(/^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?$/, 'must be at most 63 letters, digits, dots, hyphens or underscores')

/** Key-value pairs of a site, by Kubernetes' rules for labels. */
export const Labels = z
  .record(LabelKey, LabelValue)
  .refine((labels) => Object.keys(labels).length <= limits.labelsMax, { message: `at most ${limits.labelsMax} labels` })
export type Labels = z.infer<typeof Labels>

const Term = z.discriminatedUnion('operator', [
  z.strictObject({ key: LabelKey, operator: z.enum(['In', 'NotIn']), values: z.array(LabelValue).min(1).max(limits.sitesMax) }),
  z.strictObject({ key: LabelKey, operator: z.enum(['Exists', 'DoesNotExist']) }),
])

/**
 * Which sites are meant. Every part given must hold. A selector without any part selects nothing, never everything
 * (SPEC I11); `all: true` says "everything" in so many words.
 */
export const Selector = z.strictObject({
  all: z.literal(true).optional(),
  sites: z.array(z.string().max(limits.slugLengthMax)).max(limits.sitesMax).optional(),
  matchLabels: z.record(LabelKey, LabelValue).optional(),
  matchExpressions: z.array(Term).max(limits.selectorTermsMax).optional(),
})
export type Selector = z.infer<typeof Selector>

function isEmpty(selector: Selector): boolean {
  return (
    selector.all !== true &&
    selector.sites === undefined &&
    Object.keys(selector.matchLabels ?? {}).length === 0 &&
    (selector.matchExpressions ?? []).length === 0
  )
}

/** Whether a site is meant by a selector. As in Kubernetes, `NotIn` also holds where the label is absent. */
export function selects(selector: Selector, site: { id: string; labels: Labels }): boolean {
  if (isEmpty(selector)) return false
  if (selector.sites !== undefined && !selector.sites.includes(site.id)) return false
  const value = (key: string): string | undefined => (Object.hasOwn(site.labels, key) ? site.labels[key] : undefined)
  for (const [key, wanted] of Object.entries(selector.matchLabels ?? {})) if (value(key) !== wanted) return false
  return (selector.matchExpressions ?? []).every((term) => {
    const actual = value(term.key)
    switch (term.operator) {
      case 'In': return actual !== undefined && term.values.includes(actual)
      case 'NotIn': return actual === undefined || !term.values.includes(actual)
      case 'Exists': return actual !== undefined
      case 'DoesNotExist': return actual === undefined
    }
  })
}

/**
 * Kubernetes' text form, as in `-l 'region=north,tier in (gold,silver),!retired'`; `*` means every site.
 * Throws SyntaxError that names the part it could not read.
 */
export function parseSelector(text: string): Selector {
  if (text.trim() === '*') return { all: true }
  const matchExpressions: NonNullable<Selector['matchExpressions']> = []
  for (const part of text.split(/,(?![^(]*\))/).map((p) => p.trim()).filter((p) => p !== '')) {
    const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(part)
    const equality = /^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$/.exec(part)
    const existence = /^(!?)\s*([^\s=!()]+)$/.exec(part)
    if (set) matchExpressions.push({ key: set[1]!, operator: set[2] === 'in' ? 'In' : 'NotIn', values: set[3]!.split(',').map((v) => v.trim()) })
    else if (equality) matchExpressions.push({ key: equality[1]!, operator: equality[2] === '!=' ? 'NotIn' : 'In', values: [equality[3]!] })
    else if (existence) matchExpressions.push({ key: existence[2]!, operator: existence[1] === '!' ? 'DoesNotExist' : 'Exists' })
    else throw new SyntaxError(`cannot read "${part}" in the selector; write key=value, key!=value, key in (a,b), key notin (a,b), key or !key`)
  }
  const parsed = Selector.safeParse(matchExpressions.length === 0 ? {} : { matchExpressions })
  if (!parsed.success) throw new SyntaxError(`the selector is not valid: ${parsed.error.issues.map((i) => i.message).join('; ')}`)
  return parsed.data
}
