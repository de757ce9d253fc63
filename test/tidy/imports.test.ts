import { builtinModules } from 'node:module'
import { expect, test } from 'vitest'
import { allImports, folderOf, productFiles, typescriptFiles, type Import } from './sources.ts'

/** Law 4: which top-level folders each may import from, besides itself. infra, test and bench compose, and are imported by nobody. */
const mayImport: Record<string, readonly string[]> = {
  protocol: [],
  artifact: ['protocol'],
  db: ['protocol'],
  functions: ['db', 'protocol'],
  'edge-agent': ['artifact', 'protocol'],
  cli: ['artifact', 'protocol'],
  infra: ['protocol', 'artifact', 'db', 'functions', 'edge-agent', 'cli'],
}
const composing = ['infra', 'test', 'bench', '']

/** Law 3: where each package may be imported in the product. A package that stands nowhere here is imported nowhere. infra composes, and may import all of them. */
const packagesAllowed: Record<string, RegExp> = {
  zod: /./,
  hono: /^(functions\/(http|platform|entry|adapters))\//,
  '@hono/node-server': /^(functions\/(entry|platform|adapters))\//,
  '@libsql/client': /^(db|functions)\//,
  'drizzle-orm': /^(db|functions)\//,
  croner: /^functions\/rollout\//,
  mqtt: /^(functions\/adapters|edge-agent\/(link|host))\//,
  aedes: /^(functions\/adapters)\//,
  ws: /^(functions\/adapters|edge-agent\/(link|host))\//,
  commander: /^(cli|edge-agent)\//,
  yaml: /^(cli|edge-agent\/host)\//,
  '@aws-sdk/client-iot': /^functions\/adapters\/aws\//,
  'ipaddr.js': /^functions\/webhook\//,
  aws4fetch: /^functions\/adapters\/aws\//,
}

/** Where the controller may use Node itself; everywhere else it runs on Workers as well. */
const nodeAllowed = /^(functions\/(adapters\/(node|mqtt)|platform|entry)\/|db\/migrate\.ts$|artifact\/|edge-agent\/|cli\/|infra\/)/

const packageOf = (specifier: string): string => specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
const isNode = (specifier: string): boolean => specifier.startsWith('node:') || builtinModules.includes(specifier)
const show = ({ from, specifier }: Import): string => `${from} imports ${specifier}`
const ofProduct = allImports.filter((each) => productFiles.includes(each.from))

test('top-level folders import one way only, and nobody imports what composes them', () => {
  const wrong = allImports.filter(({ from, target }) => {
    if (target === null || target === 'package.json' || folderOf(from) === folderOf(target)) return false
    const [here, there] = [folderOf(from), folderOf(target)]
    return composing.includes(here) ? here === 'infra' && !mayImport.infra!.includes(there) : !(mayImport[here] ?? []).includes(there)
  })
  expect(wrong.map(show)).toEqual([])
})

test('every import of a file names a file that is there', () => {
  const missing = allImports.filter(({ target }) => target !== null && target.endsWith('.ts') && !typescriptFiles.includes(target))
  expect(missing.map(show)).toEqual([])
})

test('the protocol imports zod and nothing else', () => {
  expect(ofProduct.filter(({ from, specifier, target }) => folderOf(from) === 'protocol' && target === null && specifier !== 'zod').map(show)).toEqual([])
})

test('packages are imported only where they belong: vendor SDKs in adapters, link and host', () => {
  const wrong = ofProduct.filter(({ from, specifier, target }) => target === null && folderOf(from) !== 'infra' && !isNode(specifier) && packagesAllowed[packageOf(specifier)]?.test(from) !== true)
  expect(wrong.map(show)).toEqual([])
})

test('Node itself is used only where nothing else will ever run', () => {
  expect(ofProduct.filter(({ from, specifier }) => isNode(specifier) && !nodeAllowed.test(from)).map(show)).toEqual([])
})

test('no file imports itself by a detour', () => {
  const targets = new Map(typescriptFiles.map((path) => [path, allImports.filter((i) => i.from === path && !i.typeOnly && i.target !== null).map((i) => i.target!)]))
  const finished = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, way: readonly string[]): void => {
    const seen = way.indexOf(path)
    if (seen >= 0) return void cycles.push([...way.slice(seen), path].join(' → '))
    if (finished.has(path)) return
    for (const target of targets.get(path) ?? []) visit(target, [...way, path])
    finished.add(path)
  }
  for (const path of typescriptFiles) visit(path, [])
  expect(cycles).toEqual([])
})
