import type { Io } from '../io.ts'

/** The last lines of a terminal, drawn again and again in place. */
export type Screen = { draw(lines: readonly string[]): void }

export function createScreen(io: Pick<Io, 'out' | 'terminal'>): Screen {
  let drawn = 0
  return {
    draw(lines) {
      const { columns, rows } = io.terminal() ?? { columns: 100, rows: 24 }
      // a line that wraps, or one that scrolled away, could not be drawn over
      const shown = lines.slice(0, Math.max(1, rows - 1)).map((line) => (line.length < columns ? line : `${line.slice(0, columns - 2)}…`))
      const up = drawn === 0 ? '' : `\x1b[${drawn}A`
      io.out(`${up}${shown.map((line) => `\x1b[2K${line}\n`).join('')}\x1b[J`)
      drawn = shown.length
    },
  }
}
