export type LogLevel = 'info' | 'warn' | 'error'
/** One line per event: a short stable name and its facts. Never secrets. */
export type Log = (level: LogLevel, event: string, facts?: Record<string, unknown>) => void

export const silentLog: Log = () => undefined

/** What an error says, in one line. */
export const explain = (error: unknown): string => (error instanceof Error ? error.message : String(error))
