import { spawn, type ChildProcess } from 'node:child_process'
import type { Processes, ProcessRequest, ProcessResult } from './host.ts'

/** How long the pipes of a program that has ended are read on, where something that escaped its group still holds them open. */
const drainMs = 200
/** A file that was just written may be held open by another fork for a moment: `text file busy`. */
const busyAttemptsMax = 10
const busyPauseMs = 20

/** Keeps the last `bytesMax` bytes of what it is given and counts all of them. */
function lastBytes(bytesMax: number): { add(piece: Buffer): void; total(): number; text(): string } {
  const kept: Buffer[] = []
  let keptBytes = 0
  let totalBytes = 0
  return {
    add(piece) {
      totalBytes += piece.length
      keptBytes += piece.length
      kept.push(piece)
      while (kept.length > 0 && keptBytes - kept[0]!.length >= bytesMax) keptBytes -= kept.shift()!.length
    },
    total: () => totalBytes,
    text: () => (bytesMax === 0 ? '' : Buffer.concat(kept).subarray(-bytesMax).toString('utf8')),
  }
}

/** The group outlives its leader as long as anything is in it; with nothing in it there is nothing to do. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // ESRCH: the group is empty already.
  }
}

const notStarted = (error: unknown): ProcessResult => {
  const output = error instanceof Error ? error.message : String(error)
  return { how: 'not-started', exitCode: null, output, outputBytes: 0 }
}

function start(request: ProcessRequest): ChildProcess {
  return spawn(request.command, request.args, {
    cwd: request.directory ?? '/', env: { ...request.environment }, detached: true, stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/**
 * Waits for a started program. Whatever is left of its process group when it ends, runs out of time or is cancelled is
 * killed: what is to outlive it belongs to the machine's service manager.
 */
function attend(child: ChildProcess, request: ProcessRequest): Promise<ProcessResult> {
  const output = lastBytes(request.outputBytesMax)
  return new Promise((resolve, reject) => {
    let how: ProcessResult['how'] = 'ended'
    const end = (reason: 'timed-out' | 'cancelled') => (): void => {
      if (child.exitCode !== null || child.signalCode !== null) return
      how = reason
      killGroup(child)
    }
    const cancel = end('cancelled')
    const timer = setTimeout(end('timed-out'), request.timeoutMs)
    request.signal?.addEventListener('abort', cancel, { once: true })
    const release = (): void => {
      clearTimeout(timer)
      request.signal?.removeEventListener('abort', cancel)
    }
    child.stdout?.on('data', output.add)
    child.stderr?.on('data', output.add)
    child.on('error', (error) => {
      if (child.pid !== undefined) return
      release()
      reject(error)
    })
    child.on('exit', (exitCode) => {
      release()
      killGroup(child)
      const finish = (): void => {
        clearTimeout(drain)
        child.stdout?.destroy()
        child.stderr?.destroy()
        resolve({ how, exitCode: how === 'ended' ? exitCode : null, output: output.text(), outputBytes: output.total() })
      }
      const drain = setTimeout(finish, drainMs)
      child.on('close', finish)
    })
  })
}

async function run(request: ProcessRequest): Promise<ProcessResult> {
  for (let attempt = 1; ; attempt++) {
    if (request.signal?.aborted === true) return { how: 'cancelled', exitCode: null, output: '', outputBytes: 0 }
    try {
      return await attend(start(request), request)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ETXTBSY' || attempt === busyAttemptsMax) return notStarted(error)
      await new Promise((resolve) => setTimeout(resolve, busyPauseMs))
    }
  }
}

/** Programs of the machine, each in a process group of its own. The *last* `outputBytesMax` bytes of output are kept. */
export const nodeProcesses: Processes = { run }
