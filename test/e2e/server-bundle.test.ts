import { execFile } from 'node:child_process'
import { access, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { Program, until } from '../support/program.ts'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

let directory: string
let bundle: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'murmur-server-'))
  bundle = join(directory, 'murmur-controller')
  await run(process.execPath, [join(root, 'infra/server/main.ts'), '--out', bundle])
})
afterAll(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }))

/** A program of the bundle with its own Node, in a directory and an environment that know nothing of the repository. */
const execute = async (name: string, args: string[], env: Record<string, string>) => {
  const elsewhere = join(directory, 'elsewhere')
  await mkdir(elsewhere, { recursive: true })
  return run(join(bundle, 'bin/node'), [join(bundle, `lib/controller/${name}.mjs`), ...args], { cwd: elsewhere, env })
}

test('the controller as it is installed on a server starts without the repository, brings its database up, answers, and ends in good order', async () => {
  const port = await freePort()
  const data = join(directory, 'data')
  const url = `http://127.0.0.1:${port}`
  const program = new Program('controller', join(bundle, 'bin/node'), [join(bundle, 'lib/controller/controller.mjs')], { MURMUR_FLEET: 'shops', MURMUR_DATA: data, PORT: String(port), MURMUR_BROKER_PORT: '0' })
  const answers = () => until('the controller answers', async () => (await fetch(`${url}/readyz`)).ok, [program])
  program.start()
  try {
    await answers()
    expect(await (await fetch(`${url}/healthz`)).json()).toMatchObject({ status: 'ok', version: packageJson.version })
    const page = await fetch(url)
    expect([page.status, await page.text()]).toEqual([200, await readFile(join(root, 'console/index.html'), 'utf8')])
    const migrated = program.output.split('\n').find((line) => line.includes('database.migrated'))!
    expect((JSON.parse(migrated) as { applied: string[] }).applied).toEqual((await readdir(join(root, 'db/migrations'))).filter((name) => name.endsWith('.sql')).sort())

    expect((await execute('backup', ['--keep', '2'], { MURMUR_FLEET: 'shops', MURMUR_DATA: data })).stdout).toMatch(/^\d{8}t\d+z +\d+ rows/)
    expect((await execute('restore', [], { MURMUR_FLEET: 'shops', MURMUR_DATA: data, MURMUR_DATABASE_URL: `file:${join(directory, 'drill.db')}` })).stdout).toMatch(/^restored .*epoch 1/)

    await program.end('SIGTERM')
    expect(program.output).toContain('"controller.stopped"')
    program.output = ''
    program.start()
    await answers()
    expect(program.output).not.toContain('database.migrated')
  } finally {
    await program.end()
  }
})

/** Starts the controller in `place` and says whether V8 refused the code kept beside it; `undefined` where there is none for this text. */
const refusedCode = async (place: string) => {
  const look = `import(${JSON.stringify(join(place, 'controller.mjs'))}).then(({ script }) => { console.log(script.cachedDataRejected); process.exit(0) })`
  return (await run(join(bundle, 'bin/node'), ['-e', look], { env: { MURMUR_DATA: join(directory, 'looked-at'), PORT: '0', MURMUR_BROKER_PORT: '0' } })).stdout.trim()
}

test('the code compiled when the bundle was made fits its Node, and is left alone once the program is another', async () => {
  const place = join(bundle, 'lib/controller')
  expect(await refusedCode(place)).toBe('false')
  const changed = join(directory, 'changed/lib/controller')
  await cp(place, changed, { recursive: true })
  await symlink(join(bundle, 'node_modules'), join(directory, 'changed/node_modules'))
  const program = await readFile(join(changed, 'program.cjs'), 'utf8')
  await writeFile(join(changed, 'program.cjs'), program.replace('the environment is not valid', 'the environment is invalid!!'))
  expect(await refusedCode(changed)).toBe('undefined')
  await expect(run(join(bundle, 'bin/node'), [join(changed, 'controller.mjs')], { env: { PORT: 'x' } })).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('the environment is invalid!!') })
})

test('programs of the bundle refuse wrong settings with the list of them', async () => {
  await expect(execute('controller', [], { MURMUR_DATA: join(directory, 'none'), PORT: 'x', MURMUR_NONSENSE: '1' })).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/PORT: .*\n.*MURMUR_NONSENSE: /) })
  await expect(execute('bridge', [], {})).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/MURMUR_CONTROLLER_URL: is missing\n.*MURMUR_TOKEN: is missing/) })
  await expect(execute('backup', [], { MURMUR_DATA: join(directory, 'none') })).rejects.toMatchObject({ code: 3, stderr: expect.stringContaining('there is no database') })
})

needs('systemd').test('systemd finds nothing wrong with the units, whose programs are in the bundle', async () => {
  const units = (await readdir(bundle)).filter((name) => /\.(service|timer)$/.test(name))
  expect(units.sort()).toEqual(['murmur-backup.service', 'murmur-backup.timer', 'murmur-bridge.service', 'murmur-controller.service'])
  for (const unit of units) {
    const text = await readFile(join(bundle, unit), 'utf8')
    const programs = text.match(/(?<=[= ])\/opt\/murmur-controller\S+/g) ?? []
    for (const program of programs) await access(program.replace('/opt/murmur-controller', bundle))
    await writeFile(join(directory, unit), text.replaceAll('/opt/murmur-controller', bundle))
  }
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', ...units.map((unit) => join(directory, unit))], { env: { ...process.env, SYSTEMD_UNIT_PATH: `${directory}:` } })
  expect(stdout + stderr).toBe('')
})
