import { posix } from 'node:path'
import type { Files } from '../host/host.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import type { Change } from './contract.ts'

/**
 * A directory that survives a power cut together with the way to it. All parents are synced each time: an earlier
 * attempt may have made them and been killed before it could.
 */
export async function ensureDirectory(files: Files, path: string): Promise<void> {
  await files.makeDirectory(path)
  for (let parent = posix.dirname(path); ; parent = posix.dirname(parent)) {
    await files.sync(parent)
    if (parent === '/') return
  }
}

/** Removes what is at `path`, and its name durably. */
export async function removeDurably(files: Files, path: string): Promise<void> {
  if ((await files.facts(path)) === null) return
  await files.remove(path)
  await files.sync(posix.dirname(path))
}

export async function readText(files: Files, path: string): Promise<string | null> {
  return (await files.facts(path)) === null ? null : fromUtf8(await files.read(path))
}

/** What a driver notes for one change, durable before the step that makes it necessary; gone at the latest with `cleanup`. */
export const notes = {
  read: (files: Files, change: Change, name: string): Promise<string | null> => readText(files, `${change.stateDirectory}/${name}`),
  async write(files: Files, change: Change, name: string, text: string): Promise<void> {
    await ensureDirectory(files, change.stateDirectory)
    await files.writeDurable(`${change.stateDirectory}/${name}`, utf8(text))
  },
  remove: (files: Files, change: Change, name: string): Promise<void> => removeDurably(files, `${change.stateDirectory}/${name}`),
  removeAll: (files: Files, change: Change): Promise<void> => removeDurably(files, change.stateDirectory),
}
