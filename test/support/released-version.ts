import { execFileSync } from 'node:child_process'
import { mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { releasedCommit } from './needs.ts'

const root = join(import.meta.dirname, '../..')
type Pins = Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Record<string, string> | undefined>

/** Puts the sources of the released version into `directory`, to be run there with our node_modules; throws where its pins are not ours. */
export async function unpackReleasedVersion(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true })
  execFileSync('tar', ['-x', '-C', directory], { input: execFileSync('git', ['-C', root, 'archive', releasedCommit], { maxBuffer: 256 * 1024 * 1024 }) })
  const [theirs, ours] = await Promise.all([directory, root].map(async (tree) => JSON.parse(await readFile(join(tree, 'package.json'), 'utf8')) as Pins))
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies'] as const) {
    for (const [name, version] of Object.entries(theirs![kind] ?? {})) if (ours![kind]?.[name] !== version) throw new Error(`the released version wants ${name} ${version}, and ${ours![kind]?.[name]} is installed`)
  }
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  return directory
}
