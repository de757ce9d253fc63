import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Takes a data directory for this process: two fleets of agents in the same directories would spoil each other's journals.
 * A file left by a process that is gone is taken over. Throws when another process is at work there.
 */
export async function lockData(data: string): Promise<() => Promise<void>> {
  const path = join(data, 'running.pid')
  const take = (): Promise<boolean> => writeFile(path, `${process.pid}\n`, { flag: 'wx', mode: 0o600 }).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return false
    throw error
  })
  if (!(await take())) {
    const pid = Number(await readFile(path, 'utf8').catch(() => ''))
    if (isAlive(pid)) throw new Error(`process ${pid} is at work in ${data}; stop it, or take another --data`)
    await rm(path, { force: true })
    if (!(await take())) throw new Error(`another process has just begun to work in ${data}`)
  }
  return () => rm(path, { force: true })
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
