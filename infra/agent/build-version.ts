import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bundle } from '../package/bundle.ts'
import { licencesOf } from '../package/licences.ts'

const root = join(import.meta.dirname, '../..')
const agentDirectory = join(root, 'edge-agent')
/** What the bundle begins with. */
const entry = "import { main } from './main.ts'\nprocess.exitCode = await main(process.argv.slice(2))"

/** The agent as one file, as it is shipped. Returns the packages that are in it, as directories of node_modules. */
export const bundleAgent = (outfile: string): Promise<string[]> => bundle({ stdin: { contents: entry, resolveDir: agentDirectory, loader: 'ts' }, outfile })

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
