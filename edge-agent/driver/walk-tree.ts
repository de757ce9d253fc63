import type { FileFacts, Files } from '../host/host.ts'

/** One entry below a directory; `path` is relative to it. */
export type TreeItem = { path: string; facts: FileFacts }

/** Everything below `directory`, each directory before what is in it, names in code-unit order. Links are not followed. */
export async function* walkTree(files: Files, directory: string, below = ''): AsyncGenerator<TreeItem> {
  for (const name of (await files.list(`${directory}/${below}`)).sort()) {
    const path = below === '' ? name : `${below}/${name}`
    const facts = await files.facts(`${directory}/${path}`)
    if (facts === null) continue
    yield { path, facts }
    if (facts.kind === 'directory') yield* walkTree(files, directory, path)
  }
}
