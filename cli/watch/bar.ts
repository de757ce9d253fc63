/** A bar of `width` cells that is full at `share` 1; eighths of a cell make small steps visible. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8)
  const full = Math.floor(eighths / 8)
  const part = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8]!
  return `${'█'.repeat(full)}${part}`.padEnd(width, '·')
}
