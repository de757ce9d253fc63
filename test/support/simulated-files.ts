import { FileError, type FileFacts, type Files } from '../../edge-agent/host/host.ts'
import { NameJournal, type Base, type DirectoryInode, type FileInode, type Inode, type NameEdit } from './simulated-names.ts'

/** What a test throws from `beforeCall` to take the power away: nothing of that call happens. */
export class PowerCut extends Error {
  constructor() {
    super('the power went')
    this.name = 'PowerCut'
  }
}

export type FilesCall = keyof Files

/** Lets `calls` calls through and takes the power away at the next one and at every one after it, until the hook is replaced. */
export function cutPowerAfter(calls: number): (name: FilesCall, path: string) => void {
  let made = 0
  return () => {
    if (made++ >= calls) throw new PowerCut()
  }
}

/** Where a path leads: `inode` is undefined where nothing is. */
type Place = { directory: DirectoryInode; name: string; inode: Inode | undefined }

const emptyBytes = new Uint8Array(0)
const linksFollowedMax = 40
const pieceBytes = 256 * 1024
const partsOf = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.')
const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')))

/**
 * A disk in memory that tells the truth about crashes. There are two of everything: what programs see, and what is on
 * the platter. `crash` throws away the first and decides with the given fractions what of the unsynced rest had been
 * written: file contents old, new or torn (a prefix); changes of names kept or lost, where a later change of the same
 * name never survives an earlier one that is lost.
 */
export class SimulatedFiles implements Files {
  capacityBytes: number
  readOnly = false
  /** Called before each primitive step (`writeDurable` is four of them); may throw PowerCut or a FileError. */
  beforeCall: ((name: FilesCall, path: string) => void) | null = null
  private readonly nowMs: () => number
  private usedBytes = 0
  private lastId = 0
  private readonly names = new NameJournal()
  private readonly root: DirectoryInode
  private readonly parents = new WeakMap<DirectoryInode, DirectoryInode>()

  constructor(options: { capacityBytes?: number; nowMs?: () => number } = {}) {
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
    this.nowMs = options.nowMs ?? (() => 0)
    this.root = this.newDirectory()
    this.root.links = 1
  }

  async read(path: string): Promise<Uint8Array> {
    this.enter('read', path)
    const file = this.file(path)
    return file.buffer.slice(0, file.length)
  }

  async readRange(path: string, offset: number, length: number): Promise<Uint8Array> {
    this.enter('readRange', path)
    const file = this.file(path)
    return file.buffer.slice(Math.min(offset, file.length), Math.min(offset + length, file.length))
  }

  async *stream(path: string): AsyncGenerator<Uint8Array> {
    for (let offset = 0; ; offset += pieceBytes) {
      this.enter('stream', path)
      const file = this.file(path)
      if (offset >= file.length) return
      yield file.buffer.slice(offset, Math.min(offset + pieceBytes, file.length))
    }
  }

  async write(path: string, bytes: Uint8Array, mode?: number): Promise<void> {
    this.enter('write', path, true)
    const file = this.openForWriting(path, mode ?? 0o644)
    if (mode !== undefined) file.meta = { ...file.meta, mode }
    this.usedBytes -= file.length
    file.stableLength = 0
    file.length = 0
    file.buffer = emptyBytes
    this.extend(file, path, bytes)
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    this.enter('append', path, true)
    this.extend(this.openForWriting(path, 0o644), path, bytes)
  }

  async truncate(path: string, length: number): Promise<void> {
    this.enter('truncate', path, true)
    const file = this.file(path)
    const grown = length - file.length
    if (grown > 0) return this.extend(file, path, new Uint8Array(grown))
    file.buffer = file.buffer.slice(0, length)
    file.length = length
    file.stableLength = Math.min(file.stableLength, length)
    file.mtimeMs = this.nowMs()
    this.usedBytes += grown
  }

  async writeDurable(path: string, bytes: Uint8Array, mode?: number): Promise<void> {
    const temporary = `${path}.tmp`
    try {
      await this.write(temporary, bytes, mode)
      await this.sync(temporary)
      await this.rename(temporary, path)
    } catch (error) {
      if (!(error instanceof PowerCut)) await this.remove(temporary).catch(() => undefined)
      throw error instanceof FileError ? new FileError(error.code, path, error) : error
    }
    await this.sync(parentOf(path))
  }

  async sync(path: string): Promise<void> {
    this.enter('sync', path)
    const inode = this.existing(path, true)
    inode.durableMeta = inode.meta
    if (inode.kind === 'file') this.settle(inode)
    if (inode.kind === 'directory') this.names.settle(inode)
  }

  async rename(from: string, to: string): Promise<void> {
    this.enter('rename', to, true)
    const source = this.locate(from, false)
    const target = this.locate(to, false)
    const moved = source.inode
    if (moved === undefined) throw new FileError('ENOENT', to)
    if (moved === target.inode) return
    if (moved.kind === 'directory') this.checkDirectoryMove(moved, target, to)
    else if (target.inode?.kind === 'directory') throw new FileError('EISDIR', to)
    this.edit([
      { directory: source.directory, name: source.name, inode: null },
      { directory: target.directory, name: target.name, inode: moved },
    ])
  }

  async link(existing: string, path: string): Promise<void> {
    this.enter('link', path, true)
    const inode = this.existing(existing, false)
    if (inode.kind === 'directory') throw new FileError('EPERM', path)
    this.create(path, () => inode)
  }

  async symlink(target: string, path: string): Promise<void> {
    this.enter('symlink', path, true)
    this.create(path, () => ({ ...this.base(0o777), kind: 'link', target }))
  }

  async readlink(path: string): Promise<string> {
    this.enter('readlink', path)
    const inode = this.existing(path, false)
    if (inode.kind !== 'link') throw new FileError('EINVAL', path)
    return inode.target
  }

  async makeDirectory(path: string): Promise<void> {
    this.enter('makeDirectory', path, true)
    const parts = partsOf(path)
    for (let count = 1; count <= parts.length; count++) {
      const prefix = `/${parts.slice(0, count).join('/')}`
      const place = this.locate(prefix, true)
      if (place.inode === undefined) this.edit([{ directory: place.directory, name: place.name, inode: this.newDirectory() }])
      else if (place.inode.kind !== 'directory') throw new FileError(count === parts.length ? 'EEXIST' : 'ENOTDIR', path)
    }
  }

  async list(path: string): Promise<string[]> {
    this.enter('list', path)
    const inode = this.existing(path, true)
    if (inode.kind !== 'directory') throw new FileError('ENOTDIR', path)
    return [...inode.entries.keys()]
  }

  async remove(path: string): Promise<void> {
    this.enter('remove', path, true)
    const place = this.locateOrNull(path, false)
    if (place?.inode !== undefined) this.removeAt(place.directory, place.name, place.inode)
  }

  async facts(path: string): Promise<FileFacts | null> {
    this.enter('facts', path)
    const inode = this.locateOrNull(path, false)?.inode
    if (inode === undefined) return null
    const size = inode.kind === 'file' ? inode.length : inode.kind === 'link' ? inode.target.length : 0
    return { kind: inode.kind, size, ...inode.meta, mtimeMs: inode.mtimeMs }
  }

  async setMode(path: string, mode: number): Promise<void> {
    this.enter('setMode', path, true)
    const inode = this.existing(path, true)
    inode.meta = { ...inode.meta, mode }
  }

  async setOwner(path: string, uid: number, gid: number): Promise<void> {
    this.enter('setOwner', path, true)
    const inode = this.existing(path, false)
    inode.meta = { ...inode.meta, uid, gid }
  }

  async freeBytes(path: string): Promise<number> {
    this.enter('freeBytes', path)
    this.existing(path, true)
    return Math.max(0, this.capacityBytes - this.usedBytes)
  }

  /** All that was written so far is on the platter: a starting point for a test. */
  settleAll(): void {
    this.names.settleAll()
    this.settleBelow(this.root)
  }

  /** The power goes and comes back. `fraction` gives numbers in [0, 1); equal numbers give an equal disk. */
  crash(fraction: () => number): void {
    this.names.crash(fraction)
    this.usedBytes = 0
    this.reload(this.root, new Set(), fraction)
    this.root.links = 1
  }

  private enter(name: FilesCall, path: string, changes = false): void {
    this.beforeCall?.(name, path)
    if (changes && this.readOnly) throw new FileError('EROFS', path)
  }

  private base(mode: number): Base {
    const meta = { mode, uid: 0, gid: 0 }
    return { id: ++this.lastId, links: 0, mtimeMs: this.nowMs(), meta, durableMeta: meta }
  }

  private newDirectory(): DirectoryInode {
    return { ...this.base(0o755), kind: 'directory', entries: new Map(), durable: new Map() }
  }

  /** Where a path leads: the directory and name of its last part, and what is there. `follow` says whether a link there is followed too. */
  private locate(path: string, follow: boolean): Place {
    const pending = partsOf(path).reverse()
    const above: DirectoryInode[] = [this.root]
    let linksFollowed = 0
    for (;;) {
      const directory = above[above.length - 1]!
      const name = pending.pop()
      if (name === undefined) return { directory, name: '', inode: directory }
      if (name === '..') {
        if (above.length > 1) above.pop()
        continue
      }
      const inode = directory.entries.get(name)
      const last = pending.length === 0
      if (inode?.kind === 'link' && (!last || follow)) {
        if (++linksFollowed > linksFollowedMax) throw new FileError('ELOOP', path)
        if (inode.target.startsWith('/')) above.length = 1
        pending.push(...partsOf(inode.target).reverse())
      } else if (last) return { directory, name, inode }
      else if (inode === undefined) throw new FileError('ENOENT', path)
      else if (inode.kind !== 'directory') throw new FileError('ENOTDIR', path)
      else above.push(inode)
    }
  }

  private locateOrNull(path: string, follow: boolean): Place | null {
    try {
      return this.locate(path, follow)
    } catch (error) {
      if (error instanceof FileError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return null
      throw error
    }
  }

  private existing(path: string, follow: boolean): Inode {
    const { inode } = this.locate(path, follow)
    if (inode === undefined) throw new FileError('ENOENT', path)
    return inode
  }

  private file(path: string): FileInode {
    const inode = this.existing(path, true)
    if (inode.kind !== 'file') throw new FileError('EISDIR', path)
    return inode
  }

  private openForWriting(path: string, mode: number): FileInode {
    const { directory, name, inode } = this.locate(path, true)
    if (inode?.kind === 'file') return inode
    if (inode !== undefined) throw new FileError('EISDIR', path)
    const made: FileInode = { ...this.base(mode), kind: 'file', buffer: emptyBytes, length: 0, stableLength: 0, durable: { buffer: emptyBytes, length: 0 } }
    this.edit([{ directory, name, inode: made }])
    return made
  }

  private create(path: string, make: () => Inode): void {
    const { directory, name, inode } = this.locate(path, false)
    if (inode !== undefined) throw new FileError('EEXIST', path)
    this.edit([{ directory, name, inode: make() }])
  }

  /** Appends; where the disk is too small, what fits is written, as on a real one. */
  private extend(file: FileInode, path: string, bytes: Uint8Array): void {
    const fitting = Math.min(bytes.length, Math.max(0, this.capacityBytes - this.usedBytes))
    if (file.length + fitting > file.buffer.length) {
      const larger = new Uint8Array(file.length === 0 ? fitting : 2 * (file.length + fitting))
      larger.set(file.buffer.subarray(0, file.length))
      file.buffer = larger
    }
    file.buffer.set(bytes.subarray(0, fitting), file.length)
    file.length += fitting
    file.mtimeMs = this.nowMs()
    this.usedBytes += fitting
    if (fitting < bytes.length) throw new FileError('ENOSPC', path)
  }

  private checkDirectoryMove(moved: DirectoryInode, target: Place, path: string): void {
    if (target.inode !== undefined && target.inode.kind !== 'directory') throw new FileError('ENOTDIR', path)
    if (target.inode !== undefined && target.inode.entries.size > 0) throw new FileError('ENOTEMPTY', path)
    for (let above: DirectoryInode | undefined = target.directory; above !== undefined && above !== this.root; above = this.parents.get(above)) {
      if (above === moved) throw new FileError('EINVAL', path)
    }
  }

  private edit(edits: readonly NameEdit[]): void {
    const replaced: Inode[] = []
    for (const { directory, name, inode } of edits) {
      const before = directory.entries.get(name)
      if (before !== undefined) {
        before.links--
        replaced.push(before)
      }
      directory.mtimeMs = this.nowMs()
      if (inode === null) directory.entries.delete(name)
      else {
        directory.entries.set(name, inode)
        inode.links++
        if (inode.kind === 'directory') this.parents.set(inode, directory)
      }
    }
    // Only now: a rename takes the old name away before it gives the new one.
    for (const inode of replaced) if (inode.kind === 'file' && inode.links === 0) this.usedBytes -= inode.length
    this.names.record(edits)
  }

  private removeAt(directory: DirectoryInode, name: string, inode: Inode): void {
    if (inode.kind === 'directory') for (const [child, below] of [...inode.entries]) this.removeAt(inode, child, below)
    this.edit([{ directory, name, inode: null }])
  }

  private settle(file: FileInode): void {
    file.durable = { buffer: file.buffer, length: file.length }
    file.stableLength = file.length
  }

  private settleBelow(directory: DirectoryInode): void {
    for (const inode of directory.entries.values()) {
      inode.durableMeta = inode.meta
      if (inode.kind === 'file') this.settle(inode)
      if (inode.kind === 'directory') this.settleBelow(inode)
    }
  }

  private reload(directory: DirectoryInode, seen: Set<Inode>, fraction: () => number): void {
    directory.entries = new Map(directory.durable)
    for (const inode of directory.entries.values()) {
      if (seen.has(inode)) {
        inode.links++
        continue
      }
      seen.add(inode)
      inode.links = 1
      if (inode.meta !== inode.durableMeta) inode.meta = inode.durableMeta = fraction() < 0.5 ? inode.meta : inode.durableMeta
      if (inode.kind === 'directory') {
        this.parents.set(inode, directory)
        this.reload(inode, seen, fraction)
      }
      if (inode.kind === 'file') {
        this.reloadContent(inode, fraction)
        this.usedBytes += inode.length
      }
    }
  }

  private reloadContent(file: FileInode, fraction: () => number): void {
    if (file.durable.buffer === file.buffer && file.durable.length === file.length) return
    const choice = fraction()
    const { buffer, length } =
      choice < 1 / 3 ? file.durable
      : choice < 2 / 3 ? file
      : { buffer: file.buffer, length: file.stableLength + Math.floor(fraction() * (file.length - file.stableLength + 1)) }
    file.buffer = buffer.slice(0, length)
    file.length = length
    this.settle(file)
  }
}
