import { chmod, link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { randomUUID } from 'node:crypto'

/** Makes a directory that only its owner may enter. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700)
}

/** The text of a file, or null when there is none. */
export const readIfThere = (path: string): Promise<string | null> =>
  readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })

/**
 * The text of a file that only its owner may read; made with `make` where there is none yet. It appears whole and
 * synced or not at all, and of two processes that make it at the same moment both get the same text.
 */
export async function readOrMakeSecret(path: string, make: () => string | Promise<string>): Promise<string> {
  const held = await readIfThere(path)
  if (held !== null) return held
  const directory = dirname(path)
  await makePrivateDirectory(directory)
  const arriving = join(directory, `.${randomUUID()}`)
  const handle = await open(arriving, 'wx', 0o600)
  try {
    await handle.writeFile(await make())
    await handle.sync()
  } finally {
    await handle.close()
  }
  await link(arriving, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(arriving)
  return readFile(path, 'utf8')
}
