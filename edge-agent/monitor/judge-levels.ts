import { severities, type Severity } from '../../protocol/states.ts'
import type { Debounce, Reading } from './judge.ts'

/** From which value on it is that bad; null or absent: never. */
export type Levels = { minor?: number | null; major?: number | null; critical?: number | null }

const levelOf = (levels: Levels, severity: Severity): number | null => (severity === 'warning' ? null : levels[severity] ?? null)

/** The worst severity whose level a value reaches. */
export const severityAt = (levels: Levels, value: number): Severity | null => severities.find((severity) => value >= (levelOf(levels, severity) ?? Number.POSITIVE_INFINITY)) ?? null

/** A value against levels, where more is worse. `what` says the value; the level is added. */
export function levelReading(
  of: { alarmId: string; entity: string; what: string; unit: string }, value: number, levels: Levels, { hysteresis, ...debounce }: Debounce & { hysteresis: number },
): Reading {
  const lowered: Levels = Object.fromEntries(severities.map((severity) => [severity, levelOf(levels, severity)]).map(([severity, level]) => [severity, level === null ? null : (level as number) - hysteresis]))
  const [beyond, held] = [severityAt(levels, value), severityAt(lowered, value)]
  return {
    alarmId: of.alarmId, entity: of.entity, beyond, near: held, debounce,
    text: (severity) => `${of.what} (level ${levelOf(levels, severity) ?? severity}${of.unit})`,
  }
}

/** A yes or no: wrong at a severity, or all right. */
export const findingReading = (of: { alarmId: string; entity: string; text: string }, severity: Severity | null, debounce: Debounce): Reading => ({
  alarmId: of.alarmId, entity: of.entity, beyond: severity, near: severity, text: () => of.text, debounce,
})

/** At most one decimal. */
export const rounded = (value: number): string => String(Math.round(value * 10) / 10)
