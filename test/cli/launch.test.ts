import { execFile, spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }

const program = resolve(import.meta.dirname, '../../cli/murmur.mjs')
const run = promisify(execFile)

test('the command starts, and its exit status is the one that help lists', async () => {
  expect((await run(process.execPath, [program, 'help', 'exit-codes'])).stdout).toMatch(/^ {2}0 {2}done/)
  await expect(run(process.execPath, [program, 'rollout', 'create', 'sign@1.0.0'], { env: {} })).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('say which sites') })
})

test('it says which version it is', async () => {
  expect((await run(process.execPath, [program, '--version'])).stdout).toBe(`${packageJson.version}\n`)
})

test('a reader that goes away early is no fault', async () => {
  const child = spawn(process.execPath, [program, 'completion', 'bash'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let err = ''
  child.stderr.on('data', (chunk: Buffer) => void (err += chunk.toString()))
  const code = await new Promise((done) => child.on('exit', done))
  expect([code, err]).toEqual([0, ''])
})

test('bash completes commands and options', async () => {
  const complete = async (...words: string[]): Promise<string[]> => {
    const line = `source <("$0" "$1" completion bash); COMP_WORDS=(murmur "\${@:2}"); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 )); _murmur; printf '%s\\n' "\${COMPREPLY[@]}"`
    return (await run('bash', ['-c', line, process.execPath, program, ...words])).stdout.trim().split('\n')
  }
  expect(await complete('roll')).toEqual(['rollout'])
  expect(await complete('rollout', 'pa')).toEqual(['pause'])
  expect(await complete('rollout', 'create', 'sign@1.0.0', '--max')).toEqual(['--max-parallel'])
  expect(await complete('rollout', 'create', '--out')).toEqual(['--output'])
})
