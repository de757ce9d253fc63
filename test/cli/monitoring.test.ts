import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { monitoringDefaults } from '../../protocol/monitoring.ts'
import { enrolSites } from '../support/practice-fleet.ts'
import { startBench, type Bench, type Ended } from './command.support.ts'

let bench: Bench
beforeEach(async () => {
  bench = await startBench()
  await enrolSites(bench.controller, [{ id: 'harbour', labels: { kind: 'shop' } }])
})
afterEach(async () => {
  await bench.controller.settle()
  await bench.close()
})

async function done(...args: string[]): Promise<Ended> {
  const ended = await bench.murmur(args)
  expect(ended, args.join(' ')).toMatchObject({ code: 0 })
  return ended
}
const write = (name: string, text: string): Promise<void> => writeFile(join(bench.directory, name), text)

test('a rule comes from a file, options win over it, and it is listed, shown and removed', async () => {
  await write('shops.yaml', 'labelSelector: kind=shop\npriority: 3\nsettings:\n  filesystem: { major: 80 }\n  checks:\n    - { type: tcp, name: till, host: 10.0.0.5, port: 8443 }\n')
  expect((await done('monitoring', 'set', 'shops', '-f', 'shops.yaml', '--priority', '-4')).out).toMatch(/rule +shops\nsites +kind=shop\npriority +-4\nsettings:\n {2}filesystem:\n {4}major: 80\n {2}checks:/)
  expect((await done('monitoring', 'list')).out).toMatch(/shops +-4 +kind=shop +filesystem, checks\n/)
  expect(JSON.parse((await done('monitoring', 'show', 'shops', '-o', 'json')).out)).toMatchObject({ priority: -4, settings: { filesystem: { major: 80 } } })
  expect((await bench.murmur(['monitoring', 'show', 'nothing'])).code).toBe(3)
  expect(await bench.murmur(['monitoring', 'remove', 'shops'])).toMatchObject({ code: 2, err: expect.stringContaining('Sites kind=shop go on without it') })
  await done('monitoring', 'remove', 'shops', '--yes')
  expect((await done('monitoring', 'list')).err).toContain('no rules')
})

test('faults of a file are named with their lines, and those that only the controller finds with their places', async () => {
  await write('wrong.yaml', 'labelSelector: kind=shop\nsettings:\n  cpu:\n    major: 180\n  turbo: true\n')
  const { code, err } = await bench.murmur(['monitoring', 'set', 'shops', '-f', 'wrong.yaml'])
  expect([code, err]).toEqual([2, expect.stringMatching(/wrong\.yaml:4:5: settings\.cpu\.major: .*\n.*wrong\.yaml:5:3: settings: .*turbo/)])
  await write('never.yaml', 'settings: { cpu: { raiseAfter: 20 } }\n')
  expect(await bench.murmur(['monitoring', 'set', 'shops', '-f', 'never.yaml'])).toMatchObject({ code: 2, err: expect.stringContaining('labelSelector') })
  expect(await bench.murmur(['monitoring', 'set', 'shops', '-f', 'never.yaml', '-l', '*'])).toMatchObject({ code: 2, err: expect.stringContaining('settings.cpu.raiseAfter: is 20') })
  expect((await bench.murmur(['monitoring', 'set', 'shops', '-f', 'never.yaml', '-l', '*'], { as: 'viewer' })).code).toBe(5)
})

test("a site's own settings go over the rules, and can be taken away", async () => {
  await write('shops.yaml', 'labelSelector: kind=shop\nsettings: { cpu: { major: 70 } }\n')
  await done('monitoring', 'set', 'shops', '-f', 'shops.yaml')
  await write('own.yaml', 'everyS: 20\n')
  const shown = (await done('monitoring', 'site', 'harbour', '-f', 'own.yaml')).out
  expect(shown).toBe('site         harbour\nfollowed     its agent cannot, or has not said so yet\nrules        shops\nits own      everyS\nover the defaults:\n  everyS: 20\n  cpu:\n    major: 70\n')
  expect((await done('monitoring', 'site', 'harbour')).out).toBe(shown)
  expect(JSON.parse((await done('monitoring', 'site', 'harbour', '--reset', '-o', 'json')).out)).toMatchObject({ own: {}, effective: { cpu: { major: 70 } } })
  expect((await bench.murmur(['monitoring', 'site', 'harbour', '--reset', '-f', 'own.yaml'])).code).toBe(2)
})

test('the defaults are a file to begin with', async () => {
  expect(parse((await done('monitoring', 'defaults')).out)).toEqual(monitoringDefaults)
})

test('a node is locked with a reason and unlocked, and its site shows it', async () => {
  expect((await bench.murmur(['site', 'lock', 'harbour', 'node-1'])).code).toBe(2)
  expect((await done('site', 'lock', 'harbour', 'node-1', '--reason', 'new disk\x1b[2J')).out).toMatch(/NODE +FOR +BY +REASON\nnode-1 +0s +token:admin +new disk \[2J\n/)
  expect((await done('site', 'show', 'harbour')).out).toMatch(/lock node-1 +since .* by token:admin: new disk \[2J\n/)
  expect((await done('site', 'unlock', 'harbour', 'node-1')).err).toBe('no node is locked\n')
})
