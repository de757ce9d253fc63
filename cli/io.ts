import { setTimeout as sleep } from 'node:timers/promises'
import { createInterface } from 'node:readline/promises'
import { text } from 'node:stream/consumers'

/** Everything of the world outside that a command touches besides files: real in `processIo`, made up in tests. */
export type Io = {
  /** What was asked for. */
  out(text: string): void
  /** Progress, hints and faults. */
  err(text: string): void
  env: Readonly<Record<string, string | undefined>>
  /** Where relative paths start. */
  directory: string
  /** Width and height when a person looks at the output, else null. */
  terminal(): { columns: number; rows: number } | null
  fetch: typeof fetch
  nowMs(): number
  sleep(spanMs: number): Promise<void>
  /** All of the standard input, for `-f -`. */
  input(): Promise<string>
  /** A person's answer; null when there is nobody to ask. */
  ask(question: string): Promise<string | null>
}

export function processIo(): Io {
  // `murmur … | head` closes the pipe early: that is no fault
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  return {
    out: (line) => void process.stdout.write(line),
    err: (line) => void process.stderr.write(line),
    env: process.env,
    directory: process.cwd(),
    terminal: () => (process.stdout.isTTY ? { columns: process.stdout.columns, rows: process.stdout.rows } : null),
    fetch: globalThis.fetch,
    nowMs: Date.now,
    sleep: (spanMs) => sleep(spanMs),
    input: () => text(process.stdin),
    async ask(question) {
      if (!process.stdin.isTTY) return null
      const lines = createInterface({ input: process.stdin, output: process.stderr })
      try {
        return await lines.question(question)
      } finally {
        lines.close()
      }
    },
  }
}
