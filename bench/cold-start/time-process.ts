import { spawn } from 'node:child_process'
import { freePort } from '../../test/support/free-port.ts'

const patienceMs = 20_000
const environmentOf = (environment: Record<string, string>): Record<string, string> => ({ PATH: process.env.PATH ?? '', ...environment })

/** Milliseconds from starting a program to its end, which must come with this status. */
export function exitMs(program: string, args: readonly string[], environment: Record<string, string>, status: number): Promise<number> {
  const startMs = performance.now()
  const child = spawn(program, args, { env: environmentOf(environment), stdio: 'ignore', timeout: patienceMs })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => (code === status ? resolve(performance.now() - startMs) : reject(new Error(`${program} ${args.join(' ')} ended with ${code}, not ${status}`))))
  })
}

/** Milliseconds from starting a server to its first answer with status 200. It is told its port by `PORT`, or has its own; it is ended afterwards. */
export async function firstAnswerMs(program: string, args: readonly string[], environment: Record<string, string>, path: string, ownPort?: number): Promise<number> {
  const port = ownPort ?? (await freePort())
  const startMs = performance.now()
  const child = spawn(program, args, { env: environmentOf({ ...environment, PORT: String(port) }), stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (data: Buffer) => (complaint += data.toString()))
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => null)
      await answer?.arrayBuffer()
      if (answer?.status === 200) return performance.now() - startMs
      if (child.exitCode !== null || performance.now() - startMs > patienceMs) throw new Error(`${program} does not answer: ${answer?.status ?? 'nothing'}\n${complaint.slice(-2000)}`)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  } finally {
    child.kill('SIGKILL')
    await gone
  }
}
