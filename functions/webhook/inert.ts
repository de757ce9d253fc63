/** Longest text of one field in a message; what sites and tools send is bounded before, this is for what was not. */
export const fieldMax = 2000

/** At most `max` UTF-16 units of a text, with an ellipsis where some are left out, and no half of a pair at its end. */
export const cut = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`)

/**
 * Hostile text as one line that can be shown anywhere: no control characters (terminals obey them), nothing that turns the direction of
 * reading or is not seen at all. The two joiners stay, without which several scripts cannot be written.
 */
export function inert(text: string, max = fieldMax): string {
  // cut first: the rest of a megabyte need not be looked at
  const visible = cut(text, max).toWellFormed().replace(/\p{Cc}+|\p{Zl}|\p{Zp}/gu, ' ').replace(/(?![\u200c\u200d])\p{Cf}/gu, '')
  return visible.trim()
}
