type Meta = { mode: number; uid: number; gid: number }
export type Base = { id: number; links: number; mtimeMs: number; meta: Meta; durableMeta: Meta }
/**
 * `buffer` may be longer than `length`, so that appending is cheap. The first `stableLength` bytes are the same as the
 * durable ones: no crash can tear those.
 */
export type FileInode = Base & { kind: 'file'; buffer: Uint8Array; length: number; stableLength: number; durable: { buffer: Uint8Array; length: number } }
export type DirectoryInode = Base & { kind: 'directory'; entries: Map<string, Inode>; durable: Map<string, Inode> }
type LinkInode = Base & { kind: 'link'; target: string }
export type Inode = FileInode | DirectoryInode | LinkInode

/** A name of a directory gets another inode, or is taken away (null). */
export type NameEdit = { directory: DirectoryInode; name: string; inode: Inode | null }
/** What reaches the disk whole or not at all: a rename is two edits, everything else is one. */
type Operation = readonly NameEdit[]

/** Beyond this the oldest changes of names are on the disk: a kernel writes back in time. */
const operationsMax = 256
const keyOf = (edit: NameEdit): string => `${edit.directory.id}/${edit.name}`

function commit(operation: Operation): void {
  for (const { directory, name, inode } of operation) {
    if (inode === null) directory.durable.delete(name)
    else directory.durable.set(name, inode)
  }
}

/** The changes of names that programs see already and the platter does not have yet, oldest first. */
export class NameJournal {
  private operations: Operation[] = []

  record(operation: Operation): void {
    this.operations.push(operation)
    if (this.operations.length > operationsMax) commit(this.operations.shift()!)
  }

  /** fsync of a directory: its changes of names, and whatever earlier ones they rest on. */
  settle(directory: DirectoryInode): void {
    const needed = new Set<string>()
    const waiting: Operation[] = []
    const settled: Operation[] = []
    for (const operation of this.operations.toReversed()) {
      const settles = operation.some((edit) => edit.directory === directory || needed.has(keyOf(edit)))
      if (settles) for (const edit of operation) needed.add(keyOf(edit))
      ;(settles ? settled : waiting).push(operation)
    }
    for (const operation of settled.toReversed()) commit(operation)
    this.operations = waiting.reverse()
  }

  settleAll(): void {
    for (const operation of this.operations) commit(operation)
    this.operations = []
  }

  /** Keeps or loses each change; one that rests on a lost change of the same name is lost too. */
  crash(fraction: () => number): void {
    const lost = new Set<string>()
    for (const operation of this.operations) {
      const kept = !operation.some((edit) => lost.has(keyOf(edit))) && fraction() < 0.5
      if (kept) commit(operation)
      else for (const edit of operation) lost.add(keyOf(edit))
    }
    this.operations = []
  }
}
