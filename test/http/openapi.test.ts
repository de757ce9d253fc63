import { expect, test } from 'vitest'
import { examples } from '../../functions/http/examples.ts'
import { openApi, type Operation } from '../../functions/http/openapi.ts'
import { renderDocs } from '../../functions/http/docs.ts'
import type { Contract } from '../../protocol/http/contract.ts'
import { contracts, type ContractId } from '../../protocol/http/contracts.ts'
import { startController } from '../support/controller.ts'

const api = openApi({ publicUrl: 'https://fleet.test', version: '1.2.3' })
const operations = Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })))
const all = Object.entries(contracts) as [ContractId, Contract][]

test('every operation of the contract is there, under its own path, method and id', () => {
  expect(operations.map(({ path, method, operation }) => `${method} ${path} ${operation.operationId}`).sort()).toEqual(all.map(([id, contract]) => `${contract.method} ${contract.path} ${id}`).sort())
  expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length)
})

test('every reference leads somewhere, and every named schema is referred to', () => {
  const references = new Set([...JSON.stringify(api).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1]!))
  const lookUp = (pointer: string) => pointer.split('/').reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], api)
  expect([...references].filter((pointer) => lookUp(pointer) === undefined)).toEqual([])
  expect(Object.keys(api.components.schemas).filter((name) => !references.has(`components/schemas/${name}`))).toEqual([])
  expect(JSON.stringify(api)).not.toContain('$defs')
})

test('every parameter in a path is declared, and none that is not there', () => {
  for (const { path, operation } of operations) {
    const declared = operation.parameters.filter((parameter) => parameter.in === 'path').map((parameter) => parameter.name)
    expect(declared, operation.operationId).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]))
  }
})

test('every operation says who may call it, what it answers and which problems it may have', () => {
  for (const { operation } of operations) {
    const contract: Contract = contracts[operation.operationId as ContractId]
    expect(operation.security.length, operation.operationId).toBe(contract.access === 'public' ? 0 : 1)
    expect(Object.keys(operation.responses), operation.operationId).toEqual(expect.arrayContaining([String(contract.status), '400', '500']))
  }
})

test('every body has an example that its schema accepts', () => {
  for (const [id, contract] of all) {
    if (contract.body === null) continue
    const parsed = contract.body.safeParse((examples as Record<string, unknown>)[id])
    expect(parsed.success, `${id}: ${parsed.error?.message}`).toBe(true)
  }
})

test('named schemas have a sentence for people', () => {
  expect(Object.entries(api.components.schemas).filter(([, schema]) => typeof schema.description !== 'string').map(([name]) => name)).toEqual([])
})

test('the controller serves the document, and a page without any script or foreign thing in it', async () => {
  const controller = await startController()
  const document = (await (await controller.send('GET', '/openapi.json')).json()) as { paths: Record<string, Record<string, Operation>> }
  expect(Object.keys(document.paths)).toEqual(Object.keys(api.paths))
  const page = await controller.send('GET', '/docs')
  const html = await page.text()
  expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; /)
  expect(html).not.toMatch(/<script|<link|<img|src=|style=|\son\w+=/i)
  controller.close()
})

test('the page has an anchor for every link, and shows every operation', () => {
  const html = renderDocs(api)
  const anchors = new Set([...html.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]))
  const links = [...html.matchAll(/href="#([^"]+)"/g)].map((match) => match[1])
  expect(links.filter((link) => !anchors.has(link))).toEqual([])
  expect(all.filter(([id]) => !anchors.has(id))).toEqual([])
})

test('the page escapes what it shows (F71)', () => {
  const html = renderDocs({ ...api, info: { ...api.info, title: '<script>alert(1)</script>' }, servers: [{ url: 'https://x/"><img src=x>' }] })
  expect(html).not.toMatch(/<script>|<img/)
})
