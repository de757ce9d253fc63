import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { FileError, type FileFacts, type Files } from './host.ts'

const pieceBytes = 256 * 1024

const codeOf = (error: unknown): string => {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return typeof code === 'string' ? code : 'EUNKNOWN'
}

/** Runs `work`; whatever the system refuses comes out as a FileError with the system's code. */
async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof FileError ? error : new FileError(codeOf(error), path, error)
  }
}

async function withHandle<T>(path: string, flags: string, mode: number, use: (handle: fs.FileHandle) => Promise<T>): Promise<T> {
  const handle = await fs.open(path, flags, mode)
  try {
    return await use(handle)
  } finally {
    await handle.close()
  }
}

async function readInto(handle: fs.FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

async function* pieces(path: string): AsyncGenerator<Uint8Array> {
  const handle = await guarded(path, () => fs.open(path, 'r'))
  try {
    for (let offset = 0; ; ) {
      const piece = await guarded(path, () => readInto(handle, offset, pieceBytes))
      if (piece.length === 0) return
      offset += piece.length
      yield piece
    }
  } finally {
    await handle.close()
  }
}

/** A mode that was asked for is set exactly, whatever the umask and whether or not the file was there before. */
const writeWhole = (path: string, bytes: Uint8Array, mode: number | undefined, durable: boolean): Promise<void> =>
  withHandle(path, 'w', mode ?? 0o644, async (handle) => {
    await handle.writeFile(bytes)
    if (mode !== undefined) await handle.chmod(mode)
    if (durable) await handle.sync()
  })

const syncPath = (path: string): Promise<void> => withHandle(path, 'r', 0, (handle) => handle.sync())

/** One fixed temporary name, so that a sudden end leaves at most one leftover, which the next attempt overwrites. */
async function replaceDurably(path: string, bytes: Uint8Array, mode: number | undefined): Promise<void> {
  const temporary = `${path}.tmp`
  try {
    await writeWhole(temporary, bytes, mode, true)
    await fs.rename(temporary, path)
  } catch (error) {
    await fs.rm(temporary, { force: true }).catch(() => undefined)
    throw error
  }
  await syncPath(dirname(path))
}

async function factsOf(path: string): Promise<FileFacts | null> {
  try {
    const stats = await fs.lstat(path)
    const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'link' : 'other'
    return { kind, size: stats.size, mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid, mtimeMs: stats.mtimeMs }
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null
    throw error
  }
}

async function removeTree(path: string): Promise<void> {
  if ((await factsOf(path)) !== null) await fs.rm(path, { recursive: true, force: true })
}

async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await fs.statfs(path)
  return bavail * bsize
}

/** The machine's own disk. */
export const nodeFiles: Files = {
  read: (path) => guarded(path, async () => new Uint8Array(await fs.readFile(path))),
  readRange: (path, offset, length) => guarded(path, () => withHandle(path, 'r', 0, (handle) => readInto(handle, offset, length))),
  stream: pieces,
  write: (path, bytes, mode) => guarded(path, () => writeWhole(path, bytes, mode, false)),
  append: (path, bytes) => guarded(path, () => withHandle(path, 'a', 0o644, (handle) => handle.writeFile(bytes))),
  truncate: (path, length) => guarded(path, () => fs.truncate(path, length)),
  writeDurable: (path, bytes, mode) => guarded(path, () => replaceDurably(path, bytes, mode)),
  sync: (path) => guarded(path, () => syncPath(path)),
  rename: (from, to) => guarded(to, () => fs.rename(from, to)),
  link: (existing, path) => guarded(path, () => fs.link(existing, path)),
  symlink: (target, path) => guarded(path, () => fs.symlink(target, path)),
  readlink: (path) => guarded(path, () => fs.readlink(path)),
  makeDirectory: (path) => guarded(path, async () => void (await fs.mkdir(path, { recursive: true }))),
  list: (path) => guarded(path, () => fs.readdir(path)),
  remove: (path) => guarded(path, () => removeTree(path)),
  facts: (path) => guarded(path, () => factsOf(path)),
  setMode: (path, mode) => guarded(path, () => fs.chmod(path, mode)),
  setOwner: (path, uid, gid) => guarded(path, () => fs.lchown(path, uid, gid)),
  freeBytes: (path) => guarded(path, () => freeBytesOf(path)),
}
