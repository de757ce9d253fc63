import { storeKeys } from '../../protocol/manifest.ts'
import type { BackupStore } from '../backup/catalogue.ts'

const pageRows = 500
const atOnceMax = 16

/** Digests of objects that the store does not have; `readPage` gives those that should be there, in order. */
export async function findMissing(store: Pick<BackupStore, 'head'>, readPage: (after: string, limit: number) => Promise<string[]>): Promise<string[]> {
  const missing: string[] = []
  for (let page = await readPage('', pageRows); page.length > 0; page = await readPage(page.at(-1)!, pageRows)) {
    const queue = page.values()
    const look = async (): Promise<void> => {
      for (const digest of queue) if ((await store.head(storeKeys.object(digest))) === null) missing.push(digest)
    }
    await Promise.all(Array.from({ length: atOnceMax }, look))
  }
  return missing
}
