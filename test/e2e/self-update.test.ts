import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { agentVersion } from '../../edge-agent/agent-version.ts'
import { isRunning } from '../support/is-running.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { startInstalledSite, type InstalledSite } from './installed-site.ts'
import { until } from '../support/program.ts'

const trialS = 12

/** The program with one place in it changed; throws where it has no such place any more. */
function replaced(program: string, place: RegExp, by: string): string {
  if (!place.test(program)) throw new Error(`there is nothing like ${place.source} in the program`)
  return program.replace(place, by)
}

describe('an agent that was installed from its archive, and is replaced by releases (F29)', () => {
  let site: InstalledSite
  beforeAll(async () => {
    site = await startInstalledSite(trialS)
  })
  afterAll(() => site?.stop())

  const isOnline = (version: string) => until(`the agent ${version} is online`, () => site.isOnline(version), [site.controller], 60_000)

  test('runs, and what its installer is told twice changes nothing', async () => {
    site.service.start()
    await isOnline(agentVersion)
    const before = await site.current()
    const { stdout } = await site.install('enrol', '--controller', 'http://127.0.0.1:9', '--site', 'harbour', '--claim', 'used', '--root', '0')
    expect(stdout).toContain('is enrolled already')
    expect(await site.current()).toBe(before)
    expect((await site.site()).incarnation).toBe(1)
  })

  test('a release brings another version: it takes over, and ends the attempt', async () => {
    const digest = await site.version('1.0.0-real', (program) => program, true)
    expect(await site.rollOut('1.0.0', '1.0.0-real')).toMatchObject({ state: 'succeeded', fault: null })
    await isOnline('1.0.0-real')
    expect(await site.current()).toBe(digest)
  })

  const failing: [string, string, (program: string) => string, string][] = [
    ['ends at once', '1.1.0', () => 'process.exit(3)', 'agent-crashed'],
    ['hangs without a word', '1.2.0', () => 'setInterval(() => undefined, 1000)', 'agent-did-not-report-in'],
    ['cannot read its journal', '1.3.0', (program) => replaced(program, /starts:[\w$.]+\(\)\.nonnegative\(\)/, '$&.max(-1)'), 'agent-crashed'],
    ['finds no controller', '1.4.0', (program) => `import http from"node:http";import{syncBuiltinESMExports}from"node:module";http.request=()=>{throw new Error("unreachable")};syncBuiltinESMExports();${program}`, 'agent-did-not-report-in'],
  ]
  test.each(failing)('one that %s is given up: the version before is back by itself, and says why', async (_, release, change, code) => {
    const before = await site.current()
    await site.version(`${release}-bad`, change)
    const deployment = await site.rollOut(release, `${release}-bad`)
    expect(deployment).toMatchObject({ state: 'rolled-back', fault: { code, component: 'agent', node: 'node-0' } })
    await isOnline('1.0.0-real')
    expect(await site.current()).toBe(before)
    expect((await site.site()).running?.id).toBe('site@1.0.0')
  })

  test('killed without warning at any moment of it, launcher or agent, the old or the new comes back and the rollout succeeds (F21)', async () => {
    const fraction = seededFractions(29)
    for (let round = 0; round < 10; round++) {
      const name = `2.0.${round}`
      const digest = await site.version(name, (program) => program)
      const deployment = await site.rollOut(name, name, async () => {
        await pause(fraction() * 3000)
        const [launcher, agent] = await site.pids()
        const victims = [[agent!], [launcher!], [launcher!, agent!]][round % 3]!
        for (const pid of victims) if (isRunning(pid)) process.kill(pid, 'SIGKILL')
      })
      expect(deployment.state, `round ${round}: ${JSON.stringify(deployment.fault)}`).toBe('succeeded')
      await isOnline(name)
      expect(await site.current()).toBe(digest)
    }
  })

  test('the program can be removed, and the site stays who it is', async () => {
    await site.service.stop()
    await site.install('uninstall')
    await expect(site.current()).rejects.toMatchObject({ code: 'ENOENT' })
    await site.install()
    site.service.start()
    await isOnline(agentVersion)
  })
})
