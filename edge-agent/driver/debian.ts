import type { Files, Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { DriverError, type StagedTree } from './contract.ts'
import { ensureDirectory } from './durable.ts'
import { resolveInRoot } from './resolve-in-root.ts'
import { programPath, runProgram } from './run-program.ts'
import { walkTree } from './walk-tree.ts'

/** A `.deb` file of a tree, by its own control data. */
export type Deb = { file: string; name: string; version: string }
/** A package in dpkg's database. `installed`: unpacked and configured; `leftover`: only its configuration files are there. */
export type PackageState = { version: string; status: 'installed' | 'leftover' | 'broken' }

const dpkgMs = 30 * 60_000
const queryMs = 60_000
const outputBytesMax = 64 * 1024
const queryBytesMax = 4 * 1024 * 1024
const environment = { PATH: programPath, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', DEBCONF_NONINTERACTIVE_SEEN: 'true' }

async function query(host: Host, command: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  const { output, outputBytes } = await runProgram(host, 'dpkg', command, { command, args, environment, timeoutMs: queryMs, outputBytesMax: queryBytesMax, signal })
  if (outputBytes > queryBytesMax) throw new DriverError('dpkg-failed', `${command} answered with more than ${queryBytesMax} bytes`)
  return output
}

/** The packages of a tree by name. Throws DriverError `not-a-package` or `duplicate-package`. */
export async function readDebs(host: Host, tree: StagedTree, signal: AbortSignal): Promise<Map<string, Deb>> {
  const debs = new Map<string, Deb>()
  for await (const { path, facts } of walkTree(host.files, tree.path)) {
    if (facts.kind !== 'file' || !path.endsWith('.deb')) continue
    const file = `${tree.path}/${path}`
    const shown = await query(host, 'dpkg-deb', ['--show', '--showformat=${Package}\\t${Version}\\n', file], signal)
    const [, name, version] = /^([a-z0-9][a-z0-9+.-]*)\t(\S+)$/m.exec(shown) ?? []
    if (name === undefined || version === undefined) throw new DriverError('not-a-package', `${path} has no usable control data`)
    if (debs.has(name)) throw new DriverError('duplicate-package', `the tree has ${name} twice`)
    debs.set(name, { file, name, version })
  }
  return debs
}

function statusOf(abbreviation: string): PackageState['status'] | null {
  const [, status, error = ' '] = abbreviation
  if (error.trim() !== '') return 'broken'
  return status === 'n' ? null : status === 'i' ? 'installed' : status === 'c' ? 'leftover' : 'broken'
}

const adminDirectory = (files: Files, node: Node): Promise<string> => resolveInRoot(files, node, '/var/lib/dpkg', true)

/** All packages that dpkg knows on the node, by name; none where it never ran. */
export async function readPackages(host: Host, node: Node, signal: AbortSignal): Promise<Map<string, PackageState>> {
  const admin = await adminDirectory(host.files, node)
  const packages = new Map<string, PackageState>()
  if ((await host.files.facts(`${admin}/status`)) === null) return packages
  const format = '--showformat=${Package}\\t${Version}\\t${db:Status-Abbrev}\\n'
  for (const line of (await query(host, 'dpkg-query', [`--admindir=${admin}`, '--show', format], signal)).split('\n')) {
    const [name, version, abbreviation] = line.split('\t')
    if (name === undefined || version === undefined || abbreviation === undefined) continue
    const status = statusOf(abbreviation)
    if (status !== null) packages.set(name, { version, status })
  }
  return packages
}

/** What dpkg needs to run in a root that has never seen it. */
async function prepareRoot(files: Files, node: Node): Promise<void> {
  const admin = await adminDirectory(files, node)
  for (const name of ['info', 'updates', 'triggers']) await ensureDirectory(files, `${admin}/${name}`)
  for (const name of ['status', 'available']) {
    if ((await files.facts(`${admin}/${name}`)) === null) await files.writeDurable(`${admin}/${name}`, utf8(''))
  }
  await ensureDirectory(files, await resolveInRoot(files, node, '/var/log', true))
}

/** One call of dpkg on the node. Throws DriverError `dpkg-failed`, `-timed-out`, `-cancelled` or `-not-started`. */
export async function runDpkg(host: Host, node: Node, args: readonly string[], signal: AbortSignal): Promise<void> {
  const where = node.root === '/' ? [] : [`--root=${node.root}`]
  await runProgram(host, 'dpkg', 'dpkg', { command: 'dpkg', args: [...where, '--force-confdef', '--force-confold', ...args], environment, timeoutMs: dpkgMs, outputBytesMax, signal })
}

/** Throws DriverError `dpkg-not-started` where this host has no dpkg. */
export async function checkDpkg(host: Host, signal: AbortSignal): Promise<void> {
  for (const command of ['dpkg', 'dpkg-deb', 'dpkg-query']) await query(host, command, ['--version'], signal)
}

/**
 * Finishes what an interrupted dpkg left half done. What it cannot finish (a broken package's own script) is no reason
 * to stop: the call that follows replaces or removes that package, and what is observed afterwards decides.
 */
export async function repairDpkg(host: Host, node: Node, signal: AbortSignal): Promise<void> {
  await prepareRoot(host.files, node)
  try {
    await runDpkg(host, node, ['--configure', '--pending'], signal)
  } catch (error) {
    if (!(error instanceof DriverError && error.code === 'dpkg-failed')) throw error
  }
}
