import { posix } from 'node:path'
import type { Files } from '../host/host.ts'

/** The version that a link leads to; null where there is no link. */
export async function versionAt(files: Files, link: string): Promise<string | null> {
  return (await files.facts(link))?.kind === 'link' ? posix.basename(await files.readlink(link)) : null
}

/** Lets a link lead to a version by one rename; durable when it returns. */
export async function pointAt(files: Files, link: string, version: string): Promise<void> {
  if ((await versionAt(files, link)) !== version) {
    const fresh = `${link}.new`
    await files.remove(fresh)
    await files.symlink(`versions/${version}`, fresh)
    await files.rename(fresh, link)
  }
  await files.sync(posix.dirname(link))
}
