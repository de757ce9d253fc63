import type { TreeListing } from '../../protocol/manifest.ts'
import { Manifest, protocolNeededBy } from '../../protocol/manifest.ts'
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
  const protocolMin = Math.max(release.protocolMin, protocolNeededBy(scanned))
  const manifest = Manifest.safeParse({ v: 1, ...release, protocolMin, createdAtMs: options.createdAtMs, components: scanned })
  if (manifest.success) return { manifest: manifest.data, trees }
  throw new CliError('usage', `${path} is not a valid release`, { details: manifest.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) })
}

/** What an agent's launcher starts. */
const agentPrograms = ['bin/node', 'agent.mjs']

/** A program that is missing, or that nobody may execute, would only be noticed at the sites. */
function checkPrograms(component: string, config: Manifest['components'][number]['config'], health: Manifest['components'][number]['health'], listing: TreeListing): void {
  const scripts = config.driver === 'script' ? [config.apply, config.rollback, config.observe] : []
  const missing = config.driver === 'agent' ? agentPrograms.find((path) => !listing.entries.some((entry) => entry.path === path)) : undefined
  if (missing !== undefined) throw new CliError('usage', `component ${component}: there is no ${missing} in its source directory, so it is no version of the agent`)
  const programs = [...scripts, ...(config.driver === 'agent' ? ['bin/node'] : []), ...health.map((check) => (check.type === 'command' ? check.path : undefined))].filter((path) => path !== undefined)
  for (const path of programs) {
    const entry = listing.entries.find((other) => other.path === path)
    if (entry === undefined) throw new CliError('usage', `component ${component}: there is no ${path} in its source directory`)
    if (entry.type === 'file' && (entry.mode & 0o111) === 0) throw new CliError('usage', `component ${component}: ${path} is not executable; run chmod +x on it`)
  }
}
