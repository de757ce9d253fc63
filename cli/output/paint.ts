import type { Severity } from '../../protocol/states.ts'
import type { Io } from '../io.ts'

const codes = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2 } as const
export type Tint = keyof typeof codes

export const severityTints: Record<Severity, Tint> = { critical: 'red', major: 'yellow', minor: 'cyan', warning: 'dim' }

/** Whether colours are of use: on a terminal, unless it or its owner does without. */
export const wantsColours = ({ terminal, env }: Pick<Io, 'terminal' | 'env'>): boolean => terminal() !== null && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'

/** Text in a colour, or as it is. */
export const paint = (text: string, tint: Tint | null): string => (tint === null ? text : `\x1b[${codes[tint]}m${text}\x1b[0m`)
