import { describe, expect, test } from 'vitest'
import { Labels, parseSelector, Selector, selects } from '../../protocol/labels.ts'
import { limits } from '../../protocol/limits.ts'

const site = { id: 'north-1', labels: Labels.parse({ region: 'north', tier: 'gold', 'example.com/rack': 'r1', empty: '' }) }
const is = (selector: Selector) => selects(selector, site)

describe('a selector', () => {
  test.each([[{}], [{ matchLabels: {} }], [{ matchExpressions: [] }], [{ matchLabels: {}, matchExpressions: [] }], [{ sites: [] }]])('that says nothing selects nothing: %j (I11, F77)', (selector) => {
    expect(is(Selector.parse(selector))).toBe(false)
  })

  test('says everything in so many words', () => {
    expect(is({ all: true })).toBe(true)
    expect(Selector.safeParse({ all: false }).success).toBe(false)
  })

  test.each([
    ['a label', { matchLabels: { region: 'north' } }, true],
    ['another value', { matchLabels: { region: 'south' } }, false],
    ['every label', { matchLabels: { region: 'north', tier: 'silver' } }, false],
    ['In', { matchExpressions: [{ key: 'tier', operator: 'In', values: ['gold', 'silver'] }] }, true],
    ['In an absent label', { matchExpressions: [{ key: 'nope', operator: 'In', values: ['gold'] }] }, false],
    ['NotIn', { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['gold'] }] }, false],
    ['NotIn an absent label, as in Kubernetes', { matchExpressions: [{ key: 'nope', operator: 'NotIn', values: ['gold'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'empty', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'empty', operator: 'DoesNotExist' }] }, false],
    ['names that every object has by birth are no labels', { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, false],
    ['sites by name', { sites: ['north-1', 'north-2'] }, true],
    ['sites by name, narrowed by a label', { sites: ['north-1'], matchLabels: { region: 'south' } }, false],
    ['all, narrowed by a label', { all: true, matchLabels: { region: 'south' } }, false],
  ] as const)('%s', (_, selector, expected) => {
    expect(is(Selector.parse(selector))).toBe(expected)
  })

  test.each([
    ['an operator nobody knows', { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] }],
    ['In without values', { matchExpressions: [{ key: 'a', operator: 'In', values: [] }] }],
    ['Exists with values', { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] }],
    ['a field nobody knows', { matchLabel: { a: 'b' } }],
    ['too many terms', { matchExpressions: Array.from({ length: limits.selectorTermsMax + 1 }, () => ({ key: 'a', operator: 'Exists' })) }],
    ['a key that is no label', { matchLabels: { 'a b': 'c' } }],
  ])('is refused with %s', (_, selector) => {
    expect(Selector.safeParse(selector).success).toBe(false)
  })
})

describe("the selector's text", () => {
  test.each([
    ['region=north', { matchExpressions: [{ key: 'region', operator: 'In', values: ['north'] }] }],
    ['region==north', { matchExpressions: [{ key: 'region', operator: 'In', values: ['north'] }] }],
    ['tier != gold', { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['gold'] }] }],
    ['empty=', { matchExpressions: [{ key: 'empty', operator: 'In', values: [''] }] }],
    ['tier in (gold, silver)', { matchExpressions: [{ key: 'tier', operator: 'In', values: ['gold', 'silver'] }] }],
    ['tier notin (gold),region=north', { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['gold'] }, { key: 'region', operator: 'In', values: ['north'] }] }],
    ['!retired, example.com/rack', { matchExpressions: [{ key: 'retired', operator: 'DoesNotExist' }, { key: 'example.com/rack', operator: 'Exists' }] }],
    ['*', { all: true }],
    ['', {}],
    [' , ', {}],
  ])('%j', (text, expected) => {
    expect(parseSelector(text)).toEqual(expected)
  })

  test.each(['region=north=south', 'tier in gold', 'tier in (gold', 'a b', '=north', 'tier in ()garbage', '* , a', 'region>3'])('%j is refused, and the part is named', (text) => {
    expect(() => parseSelector(text)).toThrow(SyntaxError)
  })

  test('that selects nothing does not come out of it by mistake', () => {
    expect(selects(parseSelector(''), site)).toBe(false)
  })
})

describe('labels', () => {
  test.each([{ 'UPPER/case': 'x' }, { '/x': 'y' }, { 'a/': 'y' }, { a: 'ä' }, { a: '-x' }, { a: 'x'.repeat(64) }, { '': 'x' }, { a: '<script>' }])('%j are refused (F71)', (labels) => {
    expect(Labels.safeParse(labels).success).toBe(false)
  })

  test('are bounded in number', () => {
    const many = Object.fromEntries(Array.from({ length: limits.labelsMax + 1 }, (_, i) => [`k${i}`, 'v']))
    expect(Labels.safeParse(many).success).toBe(false)
  })
})
