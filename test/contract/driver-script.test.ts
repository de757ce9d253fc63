import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterEach, describe, expect, test } from 'vitest'
import type { Change } from '../../edge-agent/driver/contract.ts'
import { drivers } from '../../edge-agent/driver/drivers.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { Component } from '../../protocol/manifest.ts'
import { isRunning } from '../support/is-running.ts'
import { deploy, driverCases, errorOf, type Bench, type ReleaseOf } from './driver.cases.ts'

const directories: string[] = []
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})

type Scripts = { apply: string; rollback?: string; observe?: string; timeout?: number; irreversible?: true; outputBytesMax?: number }
type ScriptBench = Bench & { directory: string; written(version: string, scripts: Scripts): Promise<ReleaseOf>; abort: AbortController }

/** Applies by writing the version into a file of the node; goes back by writing the other one, or removing it. */
const honest: Scripts = {
  apply: 'mkdir -p "$MURMUR_NODE_ROOT/etc" && printf %s "$MURMUR_TO_VERSION" > "$MURMUR_NODE_ROOT/etc/app"',
  rollback: 'if [ -n "$MURMUR_FROM_VERSION" ]; then printf %s "$MURMUR_FROM_VERSION" > "$MURMUR_NODE_ROOT/etc/app"; else rm -f "$MURMUR_NODE_ROOT/etc/app"; fi',
}
const observing: Scripts = { ...honest, observe: '[ "$(cat "$MURMUR_NODE_ROOT/etc/app")" = "$MURMUR_TO_VERSION" ]' }

async function fresh(scripts: Scripts = honest): Promise<ScriptBench> {
  const directory = await mkdtemp(`${tmpdir()}/murmuration-script-`)
  directories.push(directory)
  await mkdir(`${directory}/root`)
  const abort = new AbortController()
  const node = { name: 'n1' as NodeName, personality: 'worker' as const, root: `${directory}/root`, hasAgent: true }
  const written = async (version: string, { timeout, irreversible, outputBytesMax, ...texts }: Scripts): Promise<ReleaseOf> => {
    const path = `${directory}/staged/${version}`
    await mkdir(path, { recursive: true })
    for (const [name, text] of Object.entries(texts)) await writeFile(`${path}/${name}.sh`, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
    const names = Object.fromEntries(Object.keys(texts).map((name) => [name, `${name}.sh`]))
    const digest = (version === 'one' ? '1' : '2').repeat(64)
    const component = Component.parse({ name: 'app', version, config: { driver: 'script', ...names, timeout, irreversible, outputBytesMax }, tree: { digest, listingBytes: 1, size: 1, files: 1 } })
    return { component, tree: { path, digest } }
  }
  return {
    directory,
    abort,
    written,
    host: nodeHost,
    driver: drivers.script,
    release: (version) => written(version, scripts),
    change: (from, to): Change => ({ node, component: 'app', from, to, stateDirectory: `${directory}/state`, signal: abort.signal }),
    world: () => readFile(`${directory}/root/etc/app`, 'utf8').catch(() => null),
  }
}

describe('the script driver', () => driverCases(() => fresh()))
describe('the script driver with an observe script', () => driverCases(() => fresh(observing)))

describe('scripts that go wrong', () => {
  const applying = async (scripts: Partial<Scripts>): Promise<{ bench: ScriptBench; change: Change }> => {
    const bench = await fresh()
    const one = await bench.release('one')
    await deploy(bench, bench.change(null, one))
    const change = bench.change(one, await bench.written('two', { ...honest, ...scripts }))
    await bench.driver.stage(bench.host, change)
    return { bench, change }
  }
  const goesBack = async (bench: ScriptBench, change: Change): Promise<void> => {
    expect((await bench.driver.observe(bench.host, change)).state).toBe('mixed')
    await bench.driver.rollback(bench.host, change)
    expect(await bench.driver.observe(bench.host, change)).toEqual({ state: 'present', digest: change.from!.tree.digest })
    expect(await bench.world()).toBe('one')
  }

  test('an exit status other than 0 is a failure that shows the end of the output', async () => {
    const { bench, change } = await applying({ apply: 'printf half > "$MURMUR_NODE_ROOT/etc/app"; yes noise | head -c 100000; echo the reason >&2; exit 3' })
    const error = await errorOf(bench.driver.apply(bench.host, change))
    expect(error.code).toBe('script-failed')
    expect(error.message).toContain('status 3')
    expect(error.message).toMatch(/the reason$/)
    expect(error.message.length).toBeLessThan(500)
    await goesBack(bench, change)
  })

  test('one that hangs is ended with what it started, after its time (F20, F33)', async () => {
    const { bench, change } = await applying({ apply: 'sleep 600 & echo $! > "$MURMUR_STATE_DIR/pid"; wait', timeout: 300 })
    expect((await errorOf(bench.driver.apply(bench.host, change))).code).toBe('script-timed-out')
    const pid = Number(await readFile(`${change.stateDirectory}/script/pid`, 'utf8'))
    await expect.poll(() => isRunning(pid)).toBe(false)
    await goesBack(bench, change)
  })

  test('one that leaves a process holding its output open does not hold the agent (F20)', async () => {
    const { bench, change } = await applying({
      apply: `${honest.apply}; export PID_FILE="$MURMUR_STATE_DIR/pid"; setsid sh -c 'echo $$ > "$PID_FILE"; exec sleep 60' & while [ ! -s "$MURMUR_STATE_DIR/pid" ]; do sleep 0.01; done`,
    })
    await bench.driver.apply(bench.host, change)
    const pid = Number(await readFile(`${change.stateDirectory}/script/pid`, 'utf8'))
    expect(isRunning(pid)).toBe(true)
    process.kill(pid)
    expect(await bench.world()).toBe('two')
  })

  test('endless output is dropped, not kept, until the time is up (F20)', async () => {
    const { bench, change } = await applying({ apply: 'yes', timeout: 300, outputBytesMax: 1000 })
    const error = await errorOf(bench.driver.apply(bench.host, change))
    expect(error.code).toBe('script-timed-out')
    expect(error.message.length).toBeLessThan(500)
    await goesBack(bench, change)
  })

  test('one that is cancelled is ended', async () => {
    const { bench, change } = await applying({ apply: 'sleep 600' })
    setTimeout(() => bench.abort.abort(), 100)
    expect((await errorOf(bench.driver.apply(bench.host, change))).code).toBe('script-cancelled')
  })

  test('one that cannot be run is said to be so, and a missing one is found while staging', async () => {
    const { bench, change } = await applying({})
    await writeFile(`${change.to!.tree.path}/apply.sh`, '#!/bin/sh\n', { mode: 0o755 })
    await rm(`${change.to!.tree.path}/apply.sh`)
    expect((await errorOf(bench.driver.stage(bench.host, change))).code).toBe('script-missing')
    expect((await errorOf(bench.driver.apply(bench.host, change))).code).toBe('script-not-started')
    await goesBack(bench, change)
  })

  test('a rollback that fails says so, and can be called again (F26)', async () => {
    const { bench, change } = await applying({ apply: 'exit 1', rollback: `[ -e "$MURMUR_STATE_DIR/second" ] || { : > "$MURMUR_STATE_DIR/second"; exit 9; }; ${honest.rollback}` })
    await errorOf(bench.driver.apply(bench.host, change))
    expect((await errorOf(bench.driver.rollback(bench.host, change))).message).toContain('status 9')
    await goesBack(bench, change)
  })

  test('one without a way back says so before, and refuses to go back once it began', async () => {
    const bench = await fresh()
    const change = bench.change(null, await bench.written('two', { apply: 'exit 1', irreversible: true }))
    expect(bench.driver.reversible(change.to!.component)).toBe('no')
    await bench.driver.rollback(bench.host, change)
    await errorOf(bench.driver.apply(bench.host, change))
    expect((await errorOf(bench.driver.rollback(bench.host, change))).code).toBe('irreversible')
  })

  test('an observe script overrules what is noted: a change behind the agent\'s back is seen', async () => {
    const bench = await fresh(observing)
    const one = await bench.release('one')
    await deploy(bench, bench.change(null, one))
    await writeFile(`${bench.directory}/root/etc/app`, 'something else')
    expect((await bench.driver.observe(bench.host, bench.change(one, null))).state).toBe('mixed')
  })
})
