import { createHash, type Hash } from 'node:crypto'
import { compareEntry, type EntryDifference } from '../../artifact/verify-tree.ts'
import type { TreeEntry } from '../../protocol/manifest.ts'
import { FileError, type FileFacts, type Files } from '../host/host.ts'

/** What a tree consists of: the directories that its paths imply, then its listing's entries. */
export type TreeItem = TreeEntry | { type: 'directory'; path: string }

type Wrong = EntryDifference['reason'] | 'unreadable'
type State = 'unknown' | 'right' | Wrong
const states: readonly State[] = ['unknown', 'right', 'missing', 'changed', 'mode', 'owner', 'unreadable']
const inWords: Record<Wrong, string> = { missing: 'not there', changed: 'changed', mode: 'another mode', owner: 'another owner', unreadable: 'cannot be read' }

/**
 * What is known of an installed tree, in nine bytes for each item. A content is believed while the file's time of modification is what it was
 * when it was read (`mtimesMs`), until its turn comes to be read again. `due`: was wrong, and its content has not been read since.
 */
export type TreeRecord = {
  states: Uint8Array
  mtimesMs: Float64Array
  due: Set<number>
  nextFacts: number
  nextContent: number
  /** A file that is read in pieces, over several looks where it is large. */
  reading: { index: number; offset: number; hash: Hash; mtimeMs: number } | null
  /** Whether a tree with nothing wrong is known to be right: all was read once, or what had been wrong is right again. */
  known: boolean
}

export const newRecord = (items: number): TreeRecord =>
  ({ states: new Uint8Array(items), mtimesMs: new Float64Array(items).fill(Number.NaN), due: new Set(), nextFacts: 0, nextContent: 0, reading: null, known: false })

/** What may still be done in this look: `bytes` of what is not known, `bytesAgain` of what is only read in turn; `isOver` when it has to end. */
export type Budget = { entries: number; bytes: number; bytesAgain: number; isOver(): boolean }
export type TreeLook = { files: Files; root: string; items: readonly TreeItem[]; record: TreeRecord; ignores(path: string): boolean; budget: Budget }

const pieceBytes = 256 * 1024
/** What it costs to open a file, in bytes read. */
const openingBytes = 16 * 1024
const againMax = 100
const namedMax = 3

/**
 * One look at an installed tree: what was wrong first, then the facts of items (kind, size, mode, owner), then contents: those that nothing is
 * known of or that were written to, and in turn all others. Goes on where the look before ended. Files that are too many are no difference.
 */
export async function lookAtTree(look: TreeLook): Promise<void> {
  const { items, record, budget } = look
  let again = 0
  for (let i = 0; i < items.length && again < againMax && !budget.isOver(); i++) {
    if (record.states[i]! < 2) continue
    again += 1
    await judgeFacts(look, i)
  }
  for (let seen = 0; seen < items.length && budget.entries > 0 && !budget.isOver(); seen++) {
    await judgeFacts(look, record.nextFacts)
    record.nextFacts = (record.nextFacts + 1) % items.length
  }
  for (let i = nextUnread(record); i !== null && budget.bytes > 0 && !budget.isOver(); i = nextUnread(record)) await readContent(look, i, 'bytes')
  if (nextUnread(record) !== null) return
  record.known = true
  for (let read = 0; read < items.length && budget.bytesAgain > 0 && !budget.isOver(); read++) {
    await readContent(look, record.reading?.index ?? record.nextContent, 'bytesAgain')
    if (record.reading === null) record.nextContent = (record.nextContent + 1) % items.length
  }
}

/** What to say of a tree; null: it is right, as far as it was looked at; undefined: not yet known. */
export function treeFinding({ items, record, ignores }: Pick<TreeLook, 'items' | 'record' | 'ignores'>): string | null | undefined {
  const wrong = items.flatMap(({ path }, i) => (record.states[i]! > 1 && !ignores(path) ? [{ path, state: states[record.states[i]!] as Wrong }] : []))
  if (wrong.length > 0) {
    const named = wrong.slice(0, namedMax).map(({ path, state }) => `${path} (${inWords[state]})`).join(', ')
    return `${wrong.length} of its files ${wrong.length === 1 ? 'is' : 'are'} not as installed: ${named}${wrong.length > namedMax ? ' …' : ''}`
  }
  return record.due.size === 0 && record.known ? null : undefined
}

function mark({ record }: TreeLook, i: number, state: State, mtimeMs: number): void {
  if (state !== 'unknown') record.due.delete(i)
  else if (record.states[i]! > 1) record.due.add(i)
  // what was read of it is of before
  if (state === 'unknown' && record.reading?.index === i) record.reading = null
  if (states.indexOf(state) > 1) record.known = true
  record.states[i] = states.indexOf(state)
  record.mtimesMs[i] = mtimeMs
}

const stateWithout = (error: unknown): State => {
  if (error instanceof FileError) return 'unreadable'
  throw error
}

async function reasonOf({ files }: TreeLook, item: TreeItem, place: string, facts: FileFacts | null): Promise<Wrong | null> {
  if (item.type !== 'directory') return (await compareEntry(files, item, place, facts))?.reason ?? null
  return facts === null ? 'missing' : facts.kind === 'directory' ? null : 'changed'
}

/** Compares what needs no reading; the facts, where a content may be believed or read. */
async function judgeFacts(look: TreeLook, i: number): Promise<FileFacts | null> {
  const { files, root, items, record, budget } = look
  const item = items[i]!
  const place = `${root}/${item.path}`
  budget.entries -= 1
  if (look.ignores(item.path)) {
    mark(look, i, 'right', Number.NaN)
    return null
  }
  try {
    const facts = await files.facts(place)
    const reason = await reasonOf(look, item, place, facts)
    if (reason !== null) mark(look, i, reason, Number.NaN)
    else if (item.type !== 'file') mark(look, i, 'right', Number.NaN)
    else if (facts!.mtimeMs !== record.mtimesMs[i] && record.states[i] !== 0) mark(look, i, 'unknown', Number.NaN)
    return reason === null && item.type === 'file' ? facts : null
  } catch (error) {
    mark(look, i, stateWithout(error), Number.NaN)
    return null
  }
}

/** What was begun, what was wrong, then whatever else nothing is known of. */
function nextUnread({ states, due, reading }: TreeRecord): number | null {
  if (reading !== null && states[reading.index] === 0) return reading.index
  const next: number = due.values().next().value ?? states.indexOf(0)
  return next < 0 ? null : next
}

/** Reads a file, or as much of it as may be. One that is written to meanwhile is read again at the next look: what was read is of before. */
async function readContent(look: TreeLook, i: number, from: 'bytes' | 'bytesAgain'): Promise<void> {
  const { files, root, items, record, budget } = look
  const item = items[i]!
  const facts = await judgeFacts(look, i)
  budget[from] -= openingBytes
  const before = record.reading
  record.reading = null
  if (facts === null || item.type !== 'file') return
  const reading = before?.index === i ? before : { index: i, offset: 0, hash: createHash('sha256'), mtimeMs: facts.mtimeMs }
  const place = `${root}/${item.path}`
  try {
    while (reading.offset < item.size && budget[from] > 0 && !budget.isOver()) {
      const piece = await files.readRange(place, reading.offset, Math.min(pieceBytes, item.size - reading.offset))
      if (piece.length === 0) return mark(look, i, 'changed', Number.NaN)
      reading.hash.update(piece)
      reading.offset += piece.length
      budget[from] -= piece.length
    }
    if (reading.offset < item.size) record.reading = reading
    else mark(look, i, reading.hash.digest('hex') === item.sha256 ? 'right' : 'changed', reading.mtimeMs)
  } catch (error) {
    mark(look, i, stateWithout(error), Number.NaN)
  }
}
