import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Io } from './io.ts'

/**
 * Runs a program of `infra/` as a child of this one, which speaks with the terminal itself, and returns its exit status. Those programs
 * compose everything, and the command knows the protocol only.
 */
export function runInfra(io: Pick<Io, 'env' | 'directory'>, name: string, args: readonly string[]): Promise<number> {
  const program = join(import.meta.dirname, '..', 'infra', name, 'main.ts')
  const child = spawn(process.execPath, [program, ...args], { cwd: io.directory, env: io.env, stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}
