import type { z } from 'zod'

/** One setting of the environment: what it is for, and what it may be. An empty value counts as absent. */
export type Setting<S extends z.ZodType = z.ZodType> = { about: string; schema: S }
export type Settings = Record<string, Setting>
export type Environment = Readonly<Record<string, string | undefined>>
type Parsed<T extends Settings> = { [K in keyof T]: T[K] extends Setting<infer S> ? z.output<S> : never }

/** Names with our prefix that the command, npm start or the tests read: they may be set beside ours. */
const elsewhere = new Set(['MURMUR_URL', 'MURMUR_TOKEN', 'MURMUR_ROOT_FINGERPRINT', 'MURMUR_PUBLISHER_KEY', 'MURMUR_DEBUG', 'MURMUR_REQUIRE_ALL', 'MURMUR_LEFT_OUT', 'MURMUR_WITHOUT_HISTORY', 'MURMUR_WITHOUT_NAMESPACES'])

/** A wrong environment, with everything that is wrong with it. */
export class EnvironmentError extends Error {
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(`the environment is not valid:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
    this.name = 'EnvironmentError'
    this.faults = faults
  }
}

/**
 * The values of `settings`; throws EnvironmentError that lists every fault at once, among them names that begin with
 * `MURMUR_` and mean nothing: a setting that is misspelt must not be ignored. `rules` finds what is wrong between two settings; it
 * is asked in any case, and sees a setting that is wrong by itself as the text it is: there, though nobody can use it.
 */
export function parseEnvironment<T extends Settings>(settings: T, environment: Environment, rules: (values: Partial<Parsed<T>>) => string[] = () => []): Parsed<T> {
  const faults: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, { schema }] of Object.entries(settings)) {
    const text = environment[name] === '' ? undefined : environment[name]
    const parsed = schema.safeParse(text)
    values[name] = parsed.success ? parsed.data : text
    if (!parsed.success) faults.push(`${name}: ${text === undefined ? 'is missing' : parsed.error.issues.map((issue) => issue.message).join('; ')}`)
  }
  for (const name of Object.keys(environment)) {
    if (name.startsWith('MURMUR_') && settings[name] === undefined && !elsewhere.has(name)) faults.push(`${name}: there is no such setting`)
  }
  faults.push(...rules(values as Partial<Parsed<T>>))
  if (faults.length > 0) throw new EnvironmentError(faults)
  return values as Parsed<T>
}

/** The settings as a Markdown table, for the documentation. */
export function describeSettings(settings: Settings): string {
  const rows = Object.entries(settings).map(([name, { about }]) => `| \`${name}\` | ${about} |`)
  return ['| setting | meaning |', '|---|---|', ...rows].join('\n')
}
