export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
/** One structured line: `event` is a stable name, the rest are its facts. Secrets never go in. */
export interface Log {
  write(level: LogLevel, event: string, facts: Record<string, unknown>): void
}
