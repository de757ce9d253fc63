import { Option, type Command } from 'commander'
import { parseSelector, type Selector } from '../protocol/labels.ts'
import { CliError } from './cli-error.ts'

export type SelectorOptions = { selector?: string; site?: string[]; all?: true }

export const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value]

/** The options that say which sites are meant. */
export const addSelectorOptions = (command: Command): Command =>
  command
    .addOption(new Option('-l, --selector <selector>', "sites by their labels: 'region=north,tier in (gold,silver),!retired'"))
    .addOption(new Option('--site <site>', 'a site by name; may be repeated').argParser(collect))
    .addOption(new Option('--all', 'every site of the fleet'))

/** The selector that the options give, or null when they say nothing (F77: that never means every site). Throws CliError `usage`. */
export function readSelector(options: SelectorOptions): Selector | null {
  const { selector, site, all } = options
  if (selector === undefined && site === undefined && all === undefined) return null
  const labels = selector === undefined ? {} : parse(selector)
  if (selector !== undefined && Object.keys(labels).length === 0) throw new CliError('usage', 'the selector is empty, and an empty selector selects nothing; say --all for every site')
  if (all === true && (selector !== undefined || site !== undefined)) throw new CliError('usage', 'give either --all or a selection')
  return { ...labels, ...(all === true ? { all } : {}), ...(site === undefined ? {} : { sites: site }) }
}

function parse(text: string): Selector {
  try {
    return parseSelector(text)
  } catch (error) {
    throw new CliError('usage', (error as Error).message)
  }
}

/** Throws CliError `usage` for the text of a selector that cannot be read. */
export const checkSelector = (text: string | undefined): void => void (text === undefined || parse(text))

/** A selector as people write it. */
export function selectorText(selector: Selector): string {
  const parts = [
    ...(selector.all === true ? ['every site'] : []),
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`),
    ...(selector.matchExpressions ?? []).map((term) => {
      switch (term.operator) {
        case 'In': return term.values.length === 1 ? `${term.key}=${term.values[0]!}` : `${term.key} in (${term.values.join(',')})`
        case 'NotIn': return term.values.length === 1 ? `${term.key}!=${term.values[0]!}` : `${term.key} notin (${term.values.join(',')})`
        case 'Exists': return term.key
        case 'DoesNotExist': return `!${term.key}`
      }
    }),
    ...(selector.sites === undefined ? [] : [selector.sites.length <= 3 ? selector.sites.join(' or ') : `${selector.sites.length} named sites`]),
  ]
  return parts.length === 0 ? 'nothing' : parts.join(', ')
}
