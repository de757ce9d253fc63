import type { TreeListing } from '../../protocol/manifest.ts'
import { Manifest } from '../../protocol/manifest.ts'
import { scanTree } from '../../artifact/scan-tree.ts'
import { CliError } from '../cli-error.ts'
import type { ReleaseFile } from './release-file.ts'

/** What a release is, and where its bytes are now. */
export type ScannedRelease = { manifest: Manifest; trees: { listing: TreeListing; directory: string }[] }

/** Reads every file of a release, and writes its manifest. Throws CliError naming the component for what cannot be shipped. */
export async function scanRelease({ path, source }: ReleaseFile, options: { createdAtMs: number; onComponent?(done: number, total: number): void }): Promise<ScannedRelease> {
  const { components, ...release } = source
  const trees: ScannedRelease['trees'] = []
  const scanned: Manifest['components'] = []
  for (const { name, version, source: directory, personalities, health, owners, config } of components) {
    options.onComponent?.(scanned.length, components.length)
    const { listing, ref } = await scanTree(directory, { owners: new Map(Object.entries(owners)) }).catch((error: Error) => {
      throw new CliError('usage', `component ${name}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? `there is no directory ${directory}` : error.message}`, { cause: error })
    })
    trees.push({ listing, directory })
    scanned.push({ name, version: version ?? release.version, config, tree: ref, ...(personalities === undefined ? {} : { personalities }), health })
    checkPrograms(name, config, health, listing)
  }
  const manifest = Manifest.safeParse({ v: 1, ...release, createdAtMs: options.createdAtMs, components: scanned })
  if (manifest.success) return { manifest: manifest.data, trees }
  throw new CliError('usage', `${path} is not a valid release`, { details: manifest.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) })
}

/** A program that is missing, or that nobody may execute, would only be noticed at the sites. */
function checkPrograms(component: string, config: Manifest['components'][number]['config'], health: Manifest['components'][number]['health'], listing: TreeListing): void {
  const scripts = config.driver === 'script' ? [config.apply, config.rollback, config.observe] : []
  const programs = [...scripts, ...health.map((check) => (check.type === 'command' ? check.path : undefined))].filter((path) => path !== undefined)
  for (const path of programs) {
    const entry = listing.entries.find((other) => other.path === path)
    if (entry === undefined) throw new CliError('usage', `component ${component}: there is no ${path} in its source directory`)
    if (entry.type === 'file' && (entry.mode & 0o111) === 0) throw new CliError('usage', `component ${component}: ${path} is not executable; run chmod +x on it`)
  }
}
