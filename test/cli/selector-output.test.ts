import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { printList, printOne, type OutputFormat, type Shape } from '../../cli/output/print.ts'
import { bytesText, plain, spanText } from '../../cli/output/words.ts'
import { readSelector, selectorText } from '../../cli/select-sites.ts'
import { selects } from '../../protocol/labels.ts'
import { testIo } from './command.support.ts'

type Bird = { name: string; wings: number; note: string }
const shape: Shape<Bird> = {
  nameOf: (bird) => bird.name, none: 'no birds',
  columns: [{ title: 'BIRD', value: (bird) => bird.name }, { title: 'WINGS', value: (bird) => String(bird.wings), align: 'right' }, { title: 'NOTE', value: (bird) => bird.note, wide: true }],
}
const birds: Bird[] = [{ name: 'starling', wings: 2, note: 'sings\nand\x1b[31m mocks' }, { name: 'flock', wings: 2000, note: '' }]

function list(format: OutputFormat, items = birds): { out: string; err: string } {
  const io = testIo('/')
  printList({ io, format }, shape, items)
  return io.written
}

describe('lists', () => {
  test('are aligned tables by default', () => {
    expect(list('table').out).toBe('BIRD      WINGS\nstarling      2\nflock      2000\n')
  })
  test('show more columns when wide, and every row stays one line of harmless text (F71)', () => {
    expect(list('wide').out).toBe('BIRD      WINGS  NOTE\nstarling      2  sings and [31m mocks\nflock      2000  -\n')
  })
  test('are what programs read in JSON and YAML, and one name a line with -o name', () => {
    expect(JSON.parse(list('json').out)).toEqual(birds)
    expect(parse(list('yaml').out)).toEqual(birds)
    expect(list('name').out).toBe('starling\nflock\n')
  })
  test('show no byte that a terminal obeys and none that nobody sees, in any format, and programs read what it was (F71)', () => {
    const hostile = [{ name: 'a\x1b[31m\nb\u202e', wings: 2, note: '\u009b2J\x07\u{e0041} \n\ttext' }]
    for (const format of ['table', 'wide', 'json', 'yaml', 'name'] as const) expect(list(format, hostile).out).not.toMatch(/[^\P{C}\n\t]/u)
    expect(JSON.parse(list('json', hostile).out)).toEqual(hostile)
    expect(parse(list('yaml', hostile).out)).toEqual(hostile)
    expect(list('name', hostile).out).toBe('a [31m b \n')
  })
  test('say beside the output that there is nothing, so that a program reads an empty list', () => {
    expect(list('table', [])).toEqual({ out: '', err: 'no birds\n' })
    expect(list('json', []).out).toBe('[]\n')
    expect(list('name', [])).toEqual({ out: '', err: '' })
  })
  test('one thing alone is an object, not a list', () => {
    const io = testIo('/')
    printOne({ io, format: 'json' }, shape, birds[1]!)
    expect(JSON.parse(io.written.out)).toEqual(birds[1])
  })
})

describe('words', () => {
  test('bytes and spans are short', () => {
    expect([0, 999, 1500, 123_456_789, 5e12].map(bytesText)).toEqual(['0 B', '999 B', '1.5 kB', '123 MB', '5.0 TB'])
    expect([0, 59_000, 60_000, 3_725_000, 90_000_000].map(spanText)).toEqual(['0s', '59s', '1m', '1h2m', '1d1h'])
  })
  test('text of others loses what a terminal would obey', () => {
    expect(plain('a\x1b]0;title\x07b\u202ec')).toBe('a ]0;title b c')
  })
})

describe('selectors', () => {
  test('no option at all is no selector; an empty one is refused (I11, F77)', () => {
    expect(readSelector({})).toBeNull()
    expect(() => readSelector({ selector: ' ' })).toThrow(/selects nothing/)
    expect(() => readSelector({ selector: 'a b c' })).toThrow(/cannot read "a b c"/)
  })
  test('labels and names narrow each other; all stands alone', () => {
    const selector = readSelector({ selector: 'region=north', site: ['hill-17'] })!
    expect(selects(selector, { id: 'hill-17', labels: { region: 'north' } })).toBe(true)
    expect(selects(selector, { id: 'dale-2', labels: { region: 'north' } })).toBe(false)
    expect(readSelector({ all: true })).toEqual({ all: true })
    expect(readSelector({ selector: '*' })).toEqual({ all: true })
    expect(() => readSelector({ all: true, site: ['a'] })).toThrow(/either/)
  })
  test('are shown as they were written', () => {
    const text = 'region=north, tier in (gold,silver), zone!=2, edge, !retired'
    expect(selectorText(readSelector({ selector: text })!)).toBe(text)
    expect(selectorText({ all: true })).toBe('every site')
    expect(selectorText({ sites: ['a', 'b'], matchLabels: { x: 'y' } })).toBe('x=y, a or b')
  })
})
