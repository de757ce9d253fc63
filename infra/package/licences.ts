import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** The words under which what is bundled may be passed on. */
export async function licencesOf(packages: readonly string[]): Promise<string> {
  const texts = await Promise.all(packages.map(async (name) => {
    const directory = join(root, 'node_modules', name)
    const file = ['LICENSE', 'LICENSE.md', 'license', 'LICENCE', 'LICENSE.txt'].find((each) => existsSync(join(directory, each)))
    const { version, license } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as { version: string; license?: string }
    return `${name} ${version} (${license ?? 'see its text'})\n\n${file === undefined ? '' : await readFile(join(directory, file), 'utf8')}\n`
  }))
  return texts.join(`\n${'-'.repeat(78)}\n\n`)
}
