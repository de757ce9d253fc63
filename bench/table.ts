import { meetsAim, type Figure, type Spread } from './figure.ts'

const round = (value: number): string => (value >= 1000 ? Math.round(value).toLocaleString('en') : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2))
const show = ({ median, min, max }: Spread): string => `${round(median)} (${round(min)}–${round(max)})`

function aimOf(figure: Figure): string {
  if (figure.aim === null) return ''
  const { aim } = figure
  const text = 'oursAtMost' in aim ? `≤ ${aim.oursAtMost} ${figure.unit}` : 'atMost' in aim ? `≤ ${aim.atMost}` : `≥ ${aim.atLeast}`
  return `${text} ${meetsAim(figure) === true ? 'met' : 'missed'}`
}

/** Figures as a Markdown table: medians, with the smallest and the largest in brackets. */
export function tableOf(figures: readonly Figure[]): string {
  const rows = [
    ['bench', 'case', 'unit', 'ours', 'floor', 'ours ÷ floor', 'aim', 'n'],
    ...figures.map((f) => [f.bench, f.name, f.unit, show(f.ours), show(f.floor), show(f.ratio), aimOf(f), String(f.repetitions)]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]): string => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const [head, ...body] = rows
  return [line(head!), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body.map(line)].join('\n')
}
