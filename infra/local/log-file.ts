import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'

/** A file that lines are added to; `close` resolves when all of them are in it. */
export function openLogFile(path: string): { print(line: string): void; close(): Promise<void> } {
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 })
  const done = finished(stream)
  return {
    print: (line) => void stream.write(`${line}\n`),
    async close() {
      stream.end()
      await done
    },
  }
}
