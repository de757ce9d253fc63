import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '../..')
const agentDirectory = join(root, 'edge-agent')
/** What the bundle begins with. */
const entry = "import { main } from './main.ts'\nprocess.exitCode = await main(process.argv.slice(2))"

export type Architecture = 'x64' | 'arm64'

/** The agent as one file, as it is shipped. Returns the packages that are in it, as directories of node_modules. */
export async function bundleAgent(outfile: string): Promise<string[]> {
  const { metafile } = await build({
    stdin: { contents: entry, resolveDir: agentDirectory, loader: 'ts' },
    absWorkingDir: root, outfile, bundle: true, platform: 'node', format: 'esm', target: 'node24', minifyWhitespace: true, minifySyntax: true, legalComments: 'none', metafile: true, logLevel: 'error',
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
  })
  const packages = Object.keys(metafile.inputs).flatMap((path) => /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
  return [...new Set(packages)].sort()
}

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

/** Where the dependencies have a Node for this architecture; throws with how to have it. */
export function nodeFor(architecture: Architecture): string {
  const directory = join(root, 'node_modules', `node-linux-${architecture}`)
  if (existsSync(join(directory, 'bin/node'))) return directory
  throw new Error(`there is no Node for linux-${architecture} at ${directory}: run "npm ci --force --cpu=${architecture} --os=linux" in a copy of the repository, or give its directory with --node`)
}

/** Makes the tree of one version of the agent in `directory`, which is new: what an installation keeps under versions/, and what a release ships. */
export async function buildVersion(directory: string, nodeDirectory: string): Promise<void> {
  await mkdir(join(directory, 'bin'), { recursive: true })
  const packages = await bundleAgent(join(directory, 'agent.mjs'))
  await copyFile(join(nodeDirectory, 'bin/node'), join(directory, 'bin/node'))
  await copyFile(join(root, 'LICENSE'), join(directory, 'LICENSE'))
  await copyFile(join(nodeDirectory, 'LICENSE'), join(directory, 'LICENSE.node'))
  await writeFile(join(directory, 'LICENSE.packages'), await licencesOf(packages))
  // What a copy gets depends on whoever makes it.
  await chmod(join(directory, 'bin/node'), 0o755)
  for (const name of ['agent.mjs', 'LICENSE', 'LICENSE.node', 'LICENSE.packages']) await chmod(join(directory, name), 0o644)
}
