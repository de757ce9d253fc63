import type { TreeListing } from '../protocol/manifest.ts'

/** The directories a tree's paths imply, each after the one it lies in. */
export function directoriesOf(listing: TreeListing): Set<string> {
  const directories = new Set<string>()
  for (const { path } of listing.entries) {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) directories.add(path.slice(0, slash))
  }
  return directories
}
