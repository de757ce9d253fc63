import { spawn, type ChildProcess } from 'node:child_process'
import { tmpdir } from 'node:os'

export const sleep = (spanMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, spanMs))

/** What still runs: a test that fails half-way must not leave anything behind. */
const alive = new Set<() => void>()
process.once('exit', () => alive.forEach((kill) => kill()))

/** A program that a test starts, kills without warning, and starts again. Its output is kept for a failure's message. */
export class Program {
  readonly name: string
  readonly #start: () => ChildProcess
  readonly #signal: (child: ChildProcess, signal: NodeJS.Signals) => void
  #child: ChildProcess | null = null
  output = ''

  /** `withChildren`: the program starts others, and whatever ends it ends those too, at the same moment. */
  constructor(name: string, command: string, args: readonly string[], environment: Record<string, string> = {}, options: { withChildren?: boolean } = {}) {
    const { withChildren = false } = options
    this.name = name
    this.#start = () => spawn(command, args, { cwd: tmpdir(), env: { PATH: process.env.PATH ?? '', HOME: tmpdir(), ...environment }, stdio: ['ignore', 'pipe', 'pipe'], detached: withChildren })
    this.#signal = (child, signal) => (withChildren ? signalGroup(child.pid!, signal) : void child.kill(signal))
  }

  start(): void {
    const child = this.#start()
    const kill = (): void => this.#signal(child, 'SIGKILL')
    this.#child = child
    alive.add(kill)
    child.once('exit', () => alive.delete(kill))
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (this.output = (this.output + data.toString()).slice(-40_000)))
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} does not run`)
    return this.#child.pid
  }

  /** Ends it and waits until it is gone; SIGKILL gives it no chance to tidy up. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    this.#signal(child, signal)
    await gone
  }
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Asks again until `probe` says yes; throws with `what` and the end of the programs' output when time is up. */
export async function until(what: string, probe: () => Promise<boolean>, programs: readonly { name: string; output: string }[], limitMs = 60_000): Promise<void> {
  const endMs = Date.now() + limitMs
  while (Date.now() < endMs) {
    if (await probe().catch(() => false)) return
    await sleep(100)
  }
  throw new Error(`it never came to this: ${what}\n${programs.map((p) => `--- ${p.name}\n${p.output.slice(-3000)}`).join('\n')}`)
}
