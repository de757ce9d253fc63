import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

export type Architecture = 'x64' | 'arm64'

/** Where the dependencies have a Node for this architecture; throws with how to have it. */
export function nodeFor(architecture: Architecture): string {
  const directory = join(root, 'node_modules', `node-linux-${architecture}`)
  if (existsSync(join(directory, 'bin/node'))) return directory
  throw new Error(`there is no Node for linux-${architecture} at ${directory}: run "npm ci --force --cpu=${architecture} --os=linux" in a copy of the repository, or give its directory with --node`)
}
