import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { licencesOf } from '../package/licences.ts'
import { nodeFor } from '../package/node-for.ts'
import { bundleController } from './bundle-controller.ts'

const help = `node infra/launch.mjs infra/server/main.ts --out DIR

Makes DIR, which must not be there yet: the controller with its Node, migrations and console, backup, restore and the bridge, and systemd
units, for a server of this machine's kind that has neither npm nor a checkout. docs/deploy/one-server.md says how to install it.
`

const units = ['infra/server/murmur-controller.service', 'infra/server/murmur-backup.service', 'infra/server/murmur-backup.timer', 'infra/bridge/murmur-bridge.service']
const root = join(import.meta.dirname, '../..')

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { out: { type: 'string' }, help: { type: 'boolean', default: false } } })
  if (values.help) return void process.stdout.write(help)
  if (values.out === undefined) throw new Error(`--out is missing\n\n${help}`)
  const out = resolve(values.out)
  if (existsSync(out)) throw new Error(`${out} is there already`)
  await mkdir(dirname(out), { recursive: true })
  const scratch = await mkdtemp(`${out}.partial-`)
  try {
    const node = nodeFor(process.arch === 'arm64' ? 'arm64' : 'x64')
    const packages = await bundleController(scratch, join(node, 'bin/node'))
    await mkdir(join(scratch, 'bin'))
    await copyFile(join(node, 'bin/node'), join(scratch, 'bin/node'))
    for (const unit of units) await copyFile(join(root, unit), join(scratch, basename(unit)))
    await copyFile(join(root, 'LICENSE'), join(scratch, 'LICENSE'))
    await copyFile(join(node, 'LICENSE'), join(scratch, 'LICENSE.node'))
    await writeFile(join(scratch, 'LICENSE.packages'), await licencesOf(packages))
    await chmod(scratch, 0o755)
    await rename(scratch, out)
    process.stdout.write(`${out}: the controller, with ${packages.length} packages\n`)
  } catch (error) {
    await rm(scratch, { recursive: true, force: true })
    throw error
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
