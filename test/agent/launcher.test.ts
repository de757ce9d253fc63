import { spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { isRunning } from '../support/is-running.ts'
import { seededFractions } from '../support/seeded-fractions.ts'

const [old, fresh] = ['a'.repeat(64), 'b'.repeat(64)]
/** What stands in for Node and the agent: it notes that it was started, and then does as the version is. */
const behaviours = {
  stays: 'sleep 30 & wait $!',
  confirms: 'ln -s "versions/$MURMUR_AGENT_RUNNING" "$MURMUR_AGENT_INSTALL/c" && mv -T "$MURMUR_AGENT_INSTALL/c" "$MURMUR_AGENT_INSTALL/current"; sleep 30 & wait $!',
  crashes: 'exit 9',
} as const

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

/** An installation whose versions are shell scripts, and its real launcher. */
function installation() {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-installed-'))
  const at = (name: string): string => join(directory, name)
  const children: ChildProcess[] = []
  cleanups.push(() => {
    for (const child of children) child.kill('SIGKILL')
    for (const pid of pids()) if (isRunning(pid)) process.kill(pid, 'SIGKILL')
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
  })
  copyFileSync(join(import.meta.dirname, '../../infra/agent/launcher'), at('launcher'))
  chmodSync(at('launcher'), 0o755)
  const pids = (): number[] => (existsSync(at('pids')) ? readFileSync(at('pids'), 'utf8').split(' ').slice(0, 2).map(Number) : [])
  const started = (): string[] => (existsSync(at('started')) ? readFileSync(at('started'), 'utf8').trim().split('\n') : [])
  return {
    at, pids, started,
    version(name: string, behaviour: keyof typeof behaviours): void {
      mkdirSync(at(`versions/${name}/bin`), { recursive: true })
      const script = `#!/bin/sh\ntrap 'exit 0' TERM\necho "$MURMUR_AGENT_RUNNING" >> ${at('started')}\n${behaviours[behaviour]}\n`
      writeFileSync(at(`versions/${name}/bin/node`), script, { mode: 0o755 })
      writeFileSync(at(`versions/${name}/agent.mjs`), '')
    },
    point: (link: string, name: string) => symlinkSync(`versions/${name}`, at(link)),
    current: () => readlinkSync(at('current')).replace('versions/', ''),
    trial: (text: string) => writeFileSync(at('trial'), text),
    verdict: () => (existsSync(at('verdict')) ? readFileSync(at('verdict'), 'utf8').trim() : null),
    run(name = 'launcher'): ChildProcess {
      const child = spawn(at(name), ['run'], { stdio: 'ignore' })
      children.push(child)
      return child
    },
    starts: (name: string) => expect.poll(started, { timeout: 15_000, interval: 50 }).toContain(name),
  }
}

/** One that runs `old` and has `fresh` beside it. */
function prepared(behaviour: keyof typeof behaviours) {
  const all = installation()
  all.version(old, 'stays')
  all.version(fresh, behaviour)
  all.point('current', old)
  return all
}

const ended = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => (child.exitCode !== null ? resolve(child.exitCode) : child.once('exit', (code) => resolve(code))))

describe('the launcher', () => {
  test('starts the current version, passes its end on, and ends with it', async () => {
    const all = prepared('stays')
    const child = all.run()
    await all.starts(old)
    child.kill('SIGTERM')
    expect(await ended(child)).toBe(0)
    expect([all.started(), existsSync(all.at('pids'))]).toEqual([[old], false])
  })

  test('tries a version that crashes three times, then leaves a verdict and starts the old one', async () => {
    const all = prepared('crashes')
    all.trial(`${fresh} 60 0\n`)
    all.run()
    await all.starts(old)
    expect(all.started()).toEqual([fresh, fresh, fresh, old])
    expect(all.verdict()).toBe(`${fresh} agent-crashed it was started 3 times and ended each time before it had reported in; last with status 9`)
    expect([all.current(), existsSync(all.at('trial'))]).toEqual([old, false])
  })

  test('ends a version that does not report in within its time', async () => {
    const all = prepared('stays')
    all.trial(`${fresh} 1 0\n`)
    all.run()
    await all.starts(old)
    expect(all.verdict()).toBe(`${fresh} agent-did-not-report-in it had not reported in after 1 seconds`)
    expect(all.started()).toEqual([fresh, old])
  })

  test('lets a version be that has become the current one', async () => {
    const all = prepared('confirms')
    all.trial(`${fresh} 1 0\n`)
    const child = all.run()
    await all.starts(fresh)
    await pause(2500)
    expect([all.started(), all.verdict(), all.current()]).toEqual([[fresh], null, fresh])
    child.kill('SIGTERM')
    expect(await ended(child)).toBe(0)
  })

  test.each([
    ['is torn', 'bbbb'], ['is empty', ''], ['has no number', `${fresh} soon 0\n`], ['is about the current one', `${old} 60 0\n`],
  ])('a note of a trial that %s is passed over', async (_, text) => {
    const all = prepared('stays')
    all.trial(text)
    all.run()
    await all.starts(old)
    expect([all.started(), existsSync(all.at('trial'))]).toEqual([[old], false])
  })

  test('a version that is not whole is not started, on trial or not', async () => {
    const all = prepared('stays')
    unlinkSync(all.at(`versions/${fresh}/agent.mjs`))
    all.trial(`${fresh} 60 0\n`)
    const child = all.run()
    await all.starts(old)
    expect(all.verdict()).toBe(`${fresh} agent-incomplete its program is not there`)
    child.kill('SIGTERM')
    await ended(child)
    all.version(fresh, 'stays')
    unlinkSync(all.at(`versions/${old}/agent.mjs`))
    all.point('previous', fresh)
    all.run()
    await all.starts(fresh)
  })

  test('a second one does not disturb the first, and one that was killed is followed by one that ends its agent', async () => {
    const all = prepared('stays')
    const first = all.run()
    await all.starts(old)
    expect(await ended(all.run())).toBe(0)
    const [launcher, agent] = all.pids() as [number, number]
    expect([launcher, isRunning(agent)]).toEqual([first.pid, true])
    process.kill(launcher, 'SIGKILL')
    await ended(first)
    all.run()
    await expect.poll(() => all.started().length, { timeout: 15_000 }).toBe(2)
    expect(isRunning(agent)).toBe(false)
  })

  test('knows a first one that was started by another name', async () => {
    const all = prepared('stays')
    symlinkSync('launcher', all.at('murmur-agent'))
    const first = all.run('murmur-agent')
    await all.starts(old)
    expect(await ended(all.run())).toBe(0)
    expect([all.started(), all.pids()[0], first.exitCode]).toEqual([[old], first.pid, null])
  })

  test.each(['as launcher', 'as agent'])('takes no stranger for one of its own who got the number of one that was killed (%s)', async (role) => {
    const all = prepared('stays')
    const first = all.run()
    await all.starts(old)
    await expect.poll(() => all.pids().length).toBe(2)
    // another tick of the clock that starts are told by
    await pause(50)
    const stranger = spawn('/bin/sh', ['-c', 'sleep 30 & wait', all.at('launcher'), all.at('versions/')], { stdio: 'ignore' })
    cleanups.push(() => stranger.kill('SIGKILL'))
    const [launcher, agent, ...facts] = readFileSync(all.at('pids'), 'utf8').trim().split(' ')
    process.kill(first.pid!, 'SIGKILL')
    await ended(first)
    process.kill(Number(agent), 'SIGKILL')
    writeFileSync(all.at('pids'), `${[...(role === 'as launcher' ? [stranger.pid, agent] : [launcher, stranger.pid]), ...facts].join(' ')}\n`)
    all.run()
    await expect.poll(() => all.started().length, { timeout: 15_000 }).toBe(2)
    expect(isRunning(stranger.pid!)).toBe(true)
  })

  test('killed at any moment of a trial, the old or the new is started next, and nothing else is left behind', async () => {
    const fraction = seededFractions(7)
    for (let round = 0; round < 25; round++) {
      const all = prepared(round % 2 === 0 ? 'confirms' : 'crashes')
      all.trial(`${fresh} 60 ${round % 4}\n`)
      const child = all.run()
      await pause(fraction() * 60)
      child.kill('SIGKILL')
      await ended(child)
      const before = all.started().length
      all.run()
      await expect.poll(() => all.started().length, { timeout: 15_000, interval: 20 }).toBeGreaterThan(before)
      expect([old, fresh]).toContain(all.current())
      for (const cleanup of cleanups.splice(0)) cleanup()
    }
  })
})
