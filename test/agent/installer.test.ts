import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const digest = 'a'.repeat(64)
let directory: string
const at = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'murmur-installer-'))
  unpack()
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** An unpacked archive with the real scripts, and a Node that notes the words and the proxy it was given. */
function unpack(): void {
  mkdirSync(at(`archive/versions/${digest}/bin`), { recursive: true })
  for (const name of ['install.sh', 'launcher', 'murmur-agent.service', 'murmur-agent.env']) copyFileSync(join(import.meta.dirname, '../../infra/agent', name), at(`archive/${name}`))
  for (const name of ['install.sh', 'launcher']) chmodSync(at(`archive/${name}`), 0o755)
  writeFileSync(at(`archive/versions/${digest}/bin/node`), `#!/bin/sh\nshift; case $1 in *agent.mjs) ;; *) shift ;; esac\nfor word in "$@"; do printf '%s\\n' "$word"; done >> ${at('words')}\necho "$HTTPS_PROXY" > ${at('proxy')}\n`, { mode: 0o755 })
  writeFileSync(at(`archive/versions/${digest}/agent.mjs`), '')
  writeFileSync(at(`archive/versions/${digest}/LICENSE`), '')
}

function install(...words: string[]): Promise<{ status: number; said: string }> {
  const places = ['--install', at('installed'), '--state', at('state'), '--units', at('units'), '--environment', at('agent.env'), '--no-service']
  return new Promise((resolve) => execFile('sh', ['-c', 'umask 000; exec "$@"', 'sh', at('archive/install.sh'), ...words, ...places], (error, out, problems) => resolve({ status: error === null ? 0 : Number(error.code), said: out + problems })))
}

describe('the installer', () => {
  test('leaves nothing that others may write to, whatever the umask', async () => {
    expect(await install()).toMatchObject({ status: 0 })
    for (const name of ['', 'versions', `versions/${digest}`, `versions/${digest}/bin/node`, 'launcher']) expect([name, statSync(at(`installed/${name}`)).mode & 0o022]).toEqual([name, 0])
    expect(statSync(at('agent.env')).mode & 0o777).toBe(0o600)
  })

  test('hands the enrolment line on as it is, and takes the environment as systemd does', async () => {
    writeFileSync(at('agent.env'), `# a comment\nHTTPS_PROXY=http://site:p&touch ${at('touched')};$HOME\`id\`@proxy:3128\n`)
    const line = ['--claim', `it's "$HOME" \`id\`; touch ${at('touched')}`]
    expect(await install('murmur-agent', 'enrol', ...line)).toMatchObject({ status: 0 })
    const words = readFileSync(at('words'), 'utf8').split('\n')
    expect(words.slice(words.indexOf('enrol'))).toEqual(['enrol', ...line, '--state', at('state'), ''])
    expect(readFileSync(at('proxy'), 'utf8').trim()).toBe(`http://site:p&touch ${at('touched')};$HOME\`id\`@proxy:3128`)
    expect(existsSync(at('touched'))).toBe(false)
  })

  test.each([['--state', '/srv/a b'], ['--install', '/opt/$(id)'], ['--state=/srv/x', '--no-service'], ['--install', 'here']])('refuses %s %s before it does anything', async (...words) => {
    expect((await install('enrol', ...words)).status).toBe(1)
    expect(existsSync(at('installed'))).toBe(false)
  })

  test('an agent that is not where it is said to be costs nothing, not even its unit', async () => {
    mkdirSync(at('units'))
    writeFileSync(at('units/murmur-agent.service'), '')
    expect(await install('uninstall')).toMatchObject({ status: 1, said: expect.stringContaining('there is no agent at') as string })
    expect(readdirSync(at('units'))).toEqual(['murmur-agent.service'])
  })

  test('takes away the program and leaves the site; later the site too', async () => {
    await install()
    mkdirSync(at('state'))
    writeFileSync(at('state/agent.json'), '{}')
    expect(await install('uninstall')).toMatchObject({ status: 0 })
    expect([existsSync(at('installed')), existsSync(at('state/agent.json'))]).toEqual([false, true])
    expect(await install('uninstall', '--purge')).toMatchObject({ status: 0 })
    expect([existsSync(at('state')), existsSync(at('agent.env'))]).toEqual([false, false])
  })

  test('purges nothing that is no state of an agent', async () => {
    await install()
    mkdirSync(at('state'))
    writeFileSync(at('state/thesis.txt'), '')
    expect(await install('uninstall', '--purge')).toMatchObject({ status: 1 })
    expect([existsSync(at('installed/launcher')), readdirSync(at('state'))]).toEqual([true, ['thesis.txt']])
  })
})
