import type { Log, LogLevel } from '../../ports/log.ts'

const order: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

/** One JSON object per line, on the console (which on Workers is the platform's log); lines below `lowest` are dropped. */
export function jsonLog(lowest: LogLevel = 'info', print: (line: string) => void = console.log): Log {
  return {
    write(level, event, facts) {
      if (order[level] < order[lowest]) return
      print(JSON.stringify({ at: new Date().toISOString(), level, event, ...facts }))
    },
  }
}
