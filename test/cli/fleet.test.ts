import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PracticeSite } from '../support/practice-site.ts'
import { enrolSites, runFleet, tick } from '../support/practice-fleet.ts'
import { startBench, testIo, murmurAlone, type Bench, type Ended } from './command.support.ts'

const sign = (version: string): string => resolve(import.meta.dirname, `../../examples/sign-${version}/release.yaml`)

let bench: Bench
beforeEach(async () => void (bench = await startBench()))
afterEach(() => bench.close())

/** Runs a command that must succeed. */
async function done(...args: string[]): Promise<Ended> {
  const ended = await bench.murmur(args)
  expect(ended, args.join(' ')).toMatchObject({ code: 0 })
  return ended
}

describe('sites', () => {
  test('are added with one line to run, changed, explained and removed', async () => {
    const added = await done('site', 'add', 'hill-17', '--label', 'region=north', '--label', 'tier=gold')
    expect(added.out).toMatch(/Run this at hill-17, once, before .*\n\n {2}.*mc_[0-9a-f]{40}/s)
    expect((await done('site', 'update', 'hill-17', '--unlabel', 'tier', '--label', 'floor=2')).out).toContain('region=north,floor=2')
    expect((await done('site', 'list', '-l', 'region=north', '-o', 'name')).out).toBe('hill-17\n')
    expect((await done('site', 'list', '-l', 'region!=north', '-o', 'name')).out).toBe('')
    expect((await done('site', 'explain', 'hill-17')).out).toContain('hill-17: It runs nothing yet')
    expect((await done('site', 'claim', 'hill-17', '-o', 'json')).out).toContain('"enrolLine"')
    expect(await bench.murmur(['site', 'remove', 'hill-17'])).toMatchObject({ code: 2, err: expect.stringContaining('--yes') })
    await done('site', 'remove', 'hill-17', '--yes')
    expect((await done('site', 'show', 'hill-17', '-o', 'json')).out).toContain('"removed"')
    expect((await bench.murmur(['site', 'show', 'dale-2'])).code).toBe(3)
    expect((await bench.murmur(['site', 'add', 'dale-2'], { as: 'viewer' })).code).toBe(5)
  })

  test('take windows and freezes from a file, whose faults have line numbers', async () => {
    await writeFile(join(bench.directory, 'site.yaml'), 'timeZone: Europe/Berlin\nwindows:\n  - cron: 0 1 * * *\n    duration: 3h\n')
    await done('site', 'add', 'hill-17', '-f', 'site.yaml')
    expect((await done('site', 'show', 'hill-17')).out).toMatch(/time zone +Europe\/Berlin\nwindows +0 1 \* \* \*/)
    await writeFile(join(bench.directory, 'site.yaml'), 'timeZone: Atlantis/Capital\nwindows:\n  - cron: 0 1 * * *\n    duration: soon\n')
    expect((await bench.murmur(['site', 'update', 'hill-17', '-f', 'site.yaml'])).err).toMatch(/site\.yaml:1:1: timeZone: .*\n.*site\.yaml:4:5: windows\.0\.duration: must be a length of time/)
  })
})

describe('a rollout', () => {
  let fleet: Map<string, PracticeSite>
  beforeEach(async () => {
    fleet = await enrolSites(bench.controller, ['hill-1', 'hill-2', 'hill-3'].map((id) => ({ id, labels: { region: 'north' } })))
    await done('release', 'publish', sign('1.0.0'), '--key', bench.keyPath)
  })

  const create = (...args: string[]): string[] => ['rollout', 'create', 'sign@1.0.0', '-l', 'region=north', ...args]
  const idOf = async (...args: string[]): Promise<string> => (await done(...create('-o', 'name', ...args))).out.trim()
  /** While the command sleeps, the sites do what they were granted. */
  const whileFleetRuns = (outcomeOf: Parameters<typeof runFleet>[2]) => async (): Promise<void> => {
    await tick(bench.controller)
    await runFleet(bench.controller, fleet, outcomeOf)
  }

  test('is planned, created and watched to its end, with exit 0 when all succeeded', async () => {
    expect((await done('rollout', 'plan', 'sign@1.0.0', '-l', 'region=north')).out).toMatch(/sign@1\.0\.0 to 3 sites, at most 1 at once\n {2}canary: 1 site \(hill-\d\); 100% must succeed/)
    const ended = await bench.murmur(create('--wait', '-f', resolve(import.meta.dirname, '../../examples/policies/fast.yaml')), { sleep: whileFleetRuns(() => 'succeeded') })
    expect(ended).toMatchObject({ code: 0, err: expect.stringContaining('completed: 3 succeeded') })
    expect(ended.out).toMatch(/Z wave canary is done\n/)
    expect((await done('rollout', 'list')).out).toContain('3 succeeded')
    expect((await done('site', 'list', '--release', 'sign@1.0.0', '-o', 'name')).out.split('\n')).toHaveLength(4)
  })

  test('whose canary is rolled back ends the watch with exit 8, and with 7 once it is over', async () => {
    const paused = await bench.murmur(create('--wait', '--name', 'first'), { sleep: whileFleetRuns(() => 'rolled-back') })
    expect(paused).toMatchObject({ code: 8, err: expect.stringContaining('1 rolled-back') })
    const id = (await done('rollout', 'list', '-o', 'name')).out.trim()
    expect((await done('rollout', 'sites', id, '--state', 'rolled-back')).out).toMatch(/hill-\d +canary +rolled-back/)
    expect((await done('rollout', 'abort', id, '--mode', 'finish', '--reason', 'enough')).out).toContain('abort')
    const watched = await bench.murmur(['rollout', 'watch', id], { sleep: whileFleetRuns(() => 'succeeded') })
    expect(watched).toMatchObject({ code: 7, err: expect.stringContaining('the rollout was aborted') })
  })

  test('is paused and resumed, and goes on after a failed site was retried', async () => {
    const id = await idOf()
    expect((await done('rollout', 'pause', id, '--reason', 'lunch')).out).toMatch(/paused \(operator\): .*lunch/)
    expect((await done('rollout', 'resume', id)).out).not.toContain('paused')
    await whileFleetRuns(() => 'failed')()
    const failed = (await done('rollout', 'sites', id, '--state', 'failed', '-o', 'name')).out.trim()
    expect(failed).toMatch(/^hill-\d$/)
    await done('rollout', 'retry', id, '--site', failed)
    await done('rollout', 'resume', id, '--reason', 'the cable is in again')
    await whileFleetRuns(() => 'succeeded')()
    expect((await done('rollout', 'list', '--state', 'completed')).out).toContain('3 succeeded')
    expect((await bench.murmur(['rollout', 'approve', id])).code).toBe(4)
  })

  test('lets go of a site that needs hands once it is waived', async () => {
    const ended = await bench.murmur(create('--wait'), { sleep: whileFleetRuns(() => 'needs-hands') })
    expect(ended.code).toBe(8)
    const id = (await done('rollout', 'list', '-o', 'name')).out.trim()
    const stuck = (await done('rollout', 'sites', id, '--state', 'needs-hands', '-o', 'name')).out.trim()
    expect((await bench.murmur(['rollout', 'waive', id, '--site', stuck])).code).toBe(2)
    expect((await done('rollout', 'waive', id, '--site', stuck, '--reason', 'is replaced next week')).out).toContain('1 skipped')
  })

  test('is taken back by another, which returns each site to what it ran', async () => {
    await bench.murmur(create('--wait'), { sleep: whileFleetRuns(() => 'succeeded') })
    await done('release', 'publish', sign('1.1.0'), '--key', bench.keyPath)
    const second = await bench.murmur(['rollout', 'create', 'sign@1.1.0', '--all', '--yes', '--wait', '-o', 'name'], { sleep: whileFleetRuns(() => 'succeeded') })
    expect(second).toMatchObject({ code: 0, out: expect.stringMatching(/^ro_\w{26}\n$/) })
    expect(await bench.murmur(['rollout', 'rollback', second.out.trim(), '--reason', 'wrong colour', '--wait'], { sleep: whileFleetRuns(() => 'succeeded') })).toMatchObject({ code: 0 })
    expect((await done('site', 'list', '--release', 'sign@1.0.0', '-o', 'name')).out).toBe('hill-1\nhill-2\nhill-3\n')
  })

  test('to every site at once is asked for in so many words (F77)', async () => {
    const asked: string[] = []
    const all = ['rollout', 'create', 'sign@1.0.0', '--all']
    expect(await bench.murmur(all)).toMatchObject({ code: 2, err: expect.stringContaining('--yes') })
    const ask = (answer: string) => async (question: string) => {
      asked.push(question)
      return answer
    }
    expect((await bench.murmur(all, { ask: ask('n') })).code).toBe(2)
    expect((await done('rollout', 'list', '-o', 'name')).out).toBe('')
    expect((await bench.murmur(all, { ask: ask('y') })).code).toBe(0)
    expect(asked[0]).toContain('Take 3 sites (every site) to sign@1.0.0?')
  })

  test('comes whole from a file, over which options win', async () => {
    await writeFile(join(bench.directory, 'rollout.yaml'), 'name: from a file\ntarget: { release: sign@1.0.0 }\nselector: { matchLabels: { region: north } }\npolicy: { maxParallel: 2 }\n')
    const plan = JSON.parse((await done('rollout', 'plan', '-f', 'rollout.yaml', '--site', 'hill-2', '-o', 'json')).out)
    expect([plan.name, plan.members, plan.maxParallel]).toEqual(['from a file', 1, 2])
    expect(JSON.parse((await done('rollout', 'plan', '-f', 'rollout.yaml', '--canary', '2', '-o', 'json')).out).waves[0].sites).toHaveLength(2)
    await writeFile(join(bench.directory, 'policy.yaml'), 'maxParallel: 2\nwaves:\n  - name: all\n    size: lots\n')
    expect((await bench.murmur(create('-f', 'policy.yaml'))).err).toMatch(/policy\.yaml:4:5: waves\.0\.size: /)
    expect((await bench.murmur(create('-f', '-', '--canary', '1'), { input: async () => 'waves: [{ name: all, size: rest }]' })).err).toContain('no wave that is called canary')
  })

  test.each(['careful', 'default', 'fast', 'one-per-region'])('can be planned with the example policy %s', async (name) => {
    await done(...create('--dry-run', '-f', resolve(import.meta.dirname, `../../examples/policies/${name}.yaml`)))
  })

  test('gives up watching after --timeout, with exit 10', async () => {
    const id = await idOf()
    expect((await bench.murmur(['rollout', 'watch', id, '--timeout', '0s'])).code).toBe(10)
  })
})

describe('keys and trust', () => {
  test('are made for their owner alone, and trust.json grows from version to version', async () => {
    for (const role of ['root', 'publisher', 'fleet']) await done('key', 'create', role, `${role}-own.key`, '--name', `my ${role}`)
    expect((await stat(join(bench.directory, 'root-own.key'))).mode & 0o777).toBe(0o600)
    expect(await bench.murmur(['key', 'create', 'root', 'root-own.key'])).toMatchObject({ code: 4, err: expect.stringContaining('never written over') })
    const trust = ['key', 'trust', '--root', 'root-own.key']
    expect((await bench.murmur([...trust, '--add-publisher', 'publisher-own.key.pub.json', '--add-fleet-key', 'fleet-own.key.pub.json'])).err).toContain('needs --fleet')
    const first = await done(...trust, '--fleet', 'practice', '--add-publisher', 'publisher-own.key.pub.json', '--add-fleet-key', 'fleet-own.key.pub.json')
    expect(first.out).toMatch(/version 1 of the fleet practice\nroot +\w{64} {2}root\npublisher +\w{64} {2}my publisher\nfleet +\w{64} {2}my fleet\n/)
    await done('key', 'create', 'publisher', 'second.key')
    expect((await done(...trust, '--add-publisher', 'second.key.pub.json', '--remove', 'my publisher', '-o', 'json')).out).toContain('"version": 2')
    expect((await bench.murmur([...trust, '--add-publisher', 'fleet-own.key.pub.json'])).err).toContain('is a fleet key, and a publisher key is wanted')
    expect((await bench.murmur([...trust, '--remove', 'my fleet'])).code).toBe(2)
    expect((await bench.murmur(['key', 'trust', '--root', 'second.key', '--remove', 'my fleet'])).code).toBe(9)
    expect(JSON.parse(await readFile(join(bench.directory, 'trust.json'), 'utf8')).signatures).toHaveLength(1)
  })

  test('a new root is refused by a controller that has one', async () => {
    for (const role of ['root', 'fleet']) await done('key', 'create', role, `${role}.key`)
    const ended = await bench.murmur(['key', 'trust', '--root', 'root.key', '--fleet', 'practice', '--add-fleet-key', 'fleet.key.pub.json', '--install'])
    expect(ended).toMatchObject({ code: 9, err: expect.stringContaining('root') })
  })
})

test('tokens, alarms and events do what they say', async () => {
  await enrolSites(bench.controller, [{ id: 'hill-1' }])
  const secret = (await done('token', 'create', 'ci', '--role', 'viewer', '--expires-in', '90d')).out.trim()
  expect((await bench.murmur(['whoami', '--token', secret])).out).toContain('(viewer) in the fleet practice')
  const ci = (JSON.parse((await done('token', 'list', '-o', 'json')).out) as { id: string; name: string }[]).find((token) => token.name === 'ci')!
  await done('token', 'revoke', ci.id)
  expect((await bench.murmur(['whoami', '--token', secret])).code).toBe(5)
  await done('alarm', 'raise', 'hill-1', '100.101', 'disk', 'nearly full', '--severity', 'minor')
  expect((await done('alarm', 'list')).out).toMatch(/hill-1 +100\.101 +disk +minor +no .*nearly full/)
  expect((await done('alarm', 'clear', 'hill-1', '100.101', 'disk')).err).toBe('cleared\n')
  expect((await done('events', '--entity', `token/${ci.id}`)).out).toMatch(/token\.created[^\n]*\n[^\n]*token\.revoked/)
})

test('events are followed, one line each, until the watcher goes', async () => {
  await done('token', 'create', 'one', '--role', 'viewer')
  let sleeps = 0
  const ended = await bench.murmur(['events', '--follow', '-o', 'json'], { sleep: async () => {
    if (sleeps++ > 0) throw new Error('the watcher goes')
    await bench.murmur(['token', 'create', 'two', '--role', 'viewer'])
  } })
  const actions = ended.out.trim().split('\n').map((line) => (JSON.parse(line) as { action: string }).action)
  expect(actions.filter((action) => action === 'token.created')).toHaveLength(2)
})

test('the completion of a shell knows every command and its options', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, out } = await murmurAlone(['completion', shell], testIo(bench.directory))
    expect(code).toBe(0)
    expect(out).toMatch(/rollout create'?.*--max-parallel.*--url/)
  }
})

test('a directory that npm start ran in is enough to be understood', async () => {
  await mkdir(join(bench.directory, '.murmur'))
  await writeFile(join(bench.directory, '.murmur', 'cli.json'), JSON.stringify({ url: bench.url, token: bench.controller.tokens.viewer, rootFingerprint: bench.controller.keys.root.keyid }))
  expect((await murmurAlone(['whoami'], testIo(bench.directory))).out).toContain('practice')
})
