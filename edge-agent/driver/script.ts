import type { Files, Host } from '../host/host.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { DriverError, type Change, type Driver, type Observed } from './contract.ts'
import { ensureDirectory, notes, readText, removeDurably } from './durable.ts'
import { resolveInRoot } from './resolve-in-root.ts'
import { programPath, runProgram } from './run-program.ts'
import { verifyObserved } from './verify-observed.ts'

/**
 * The `script` driver. What is in effect is written on the node itself, in `/var/lib/murmur/scripts/<component>`:
 * `changing <digest>` durably before a script starts, `applied <digest>` after it ended well, nothing once the component
 * is gone. A release's `observe` script, where there is one, decides instead of `applied`: exit status 0 means that this
 * release is in effect. `changing` is always `mixed`: only apply or rollback end it.
 *
 * | change           | apply runs            | rollback runs         |
 * |------------------|-----------------------|-----------------------|
 * | new or changed   | `apply` of `to`       | `rollback` of `to`    |
 * | dropped          | `rollback` of `from`  | `apply` of `from`     |
 *
 * A script sees its own version as `MURMUR_TO_VERSION`, and as `MURMUR_FROM_VERSION` what there is without it (empty for
 * nothing): `apply` leads to the one, `rollback` back to the other. `MURMUR_FROM_TREE` and `MURMUR_TO_TREE` are their trees.
 * Scripts may be run again after a sudden end, and must end in the same state. A dropped component that cannot be undone
 * is only forgotten. A change without an `apply` that began is rolled back without running anything.
 */
const markerPath = '/var/lib/murmur/scripts'
/** `begun` before the first script of this change, `done` once apply has ended well. */
const progressNote = 'progress'
const observeMs = 60_000

type Side = NonNullable<Change['from']>
type ScriptName = 'apply' | 'rollback' | 'observe'

function configOf(side: Side): { apply: string; rollback?: string | undefined; observe?: string | undefined; timeout: number; outputBytesMax: number } {
  const { config } = side.component
  if (config.driver !== 'script') throw new DriverError('wrong-driver', `${side.component.name} is not applied by a script`)
  return config
}

const markerOf = (files: Files, change: Change): Promise<string> => resolveInRoot(files, change.node, `${markerPath}/${change.component}`, true)

async function mark(files: Files, change: Change, state: 'changing' | 'applied', side: Side): Promise<void> {
  const path = await markerOf(files, change)
  await ensureDirectory(files, path.slice(0, path.lastIndexOf('/')))
  await files.writeDurable(path, utf8(`${state} ${side.tree.digest}`))
}

const versionOf = (side: Side | null): string => side?.component.version ?? ''

async function environmentOf(files: Files, change: Change, ends: { from: Side | null; to: Side | null }): Promise<Record<string, string>> {
  const scratch = `${change.stateDirectory}/script`
  await ensureDirectory(files, scratch)
  return {
    PATH: programPath,
    LC_ALL: 'C',
    MURMUR_NODE: change.node.name,
    MURMUR_NODE_ROOT: change.node.root,
    MURMUR_COMPONENT: change.component,
    MURMUR_FROM_VERSION: versionOf(ends.from),
    MURMUR_TO_VERSION: versionOf(ends.to),
    MURMUR_FROM_TREE: ends.from?.tree.path ?? '',
    MURMUR_TO_TREE: ends.to?.tree.path ?? '',
    MURMUR_STATE_DIR: scratch,
  }
}

async function runScript(host: Host, change: Change, side: Side, name: ScriptName, ends: { from: Side | null; to: Side | null }): Promise<void> {
  const config = configOf(side)
  await runProgram(host, 'script', `the ${name} script`, {
    command: `${side.tree.path}/${config[name]!}`,
    args: [],
    directory: side.tree.path,
    environment: await environmentOf(host.files, change, ends),
    timeoutMs: name === 'observe' ? Math.min(observeMs, config.timeout) : config.timeout,
    outputBytesMax: config.outputBytesMax,
    signal: change.signal,
  })
}

async function isInEffect(host: Host, change: Change, side: Side, marker: string | null): Promise<boolean> {
  if (configOf(side).observe === undefined) return marker === `applied ${side.tree.digest}`
  try {
    await runScript(host, change, side, 'observe', { from: null, to: side })
    return true
  } catch (error) {
    if (error instanceof DriverError && error.code === 'script-failed') return false
    throw error
  }
}

async function observe(host: Host, change: Change): Promise<Observed> {
  const marker = await readText(host.files, await markerOf(host.files, change))
  if (marker?.startsWith('changing ') === true) return { state: 'mixed', detail: `a script was started and did not end well (${marker})` }
  for (const side of [change.to, change.from]) {
    if (side !== null && (await isInEffect(host, change, side, marker))) return { state: 'present', digest: side.tree.digest }
  }
  return marker === null ? { state: 'absent' } : { state: 'mixed', detail: `${marker} is noted on the node, and is not what is there` }
}

async function stage({ files }: Host, change: Change): Promise<void> {
  for (const side of [change.to, change.from]) {
    if (side === null) continue
    const config = configOf(side)
    for (const path of [config.apply, config.rollback, config.observe]) {
      if (path !== undefined && (await files.facts(`${side.tree.path}/${path}`)) === null) throw new DriverError('script-missing', `its tree has no ${path}`)
    }
  }
}

async function apply(host: Host, change: Change): Promise<void> {
  if ((await notes.read(host.files, change, progressNote)) === 'done') return
  await notes.write(host.files, change, progressNote, 'begun')
  if (change.to !== null) {
    await mark(host.files, change, 'changing', change.to)
    await runScript(host, change, change.to, 'apply', change)
    await mark(host.files, change, 'applied', change.to)
  } else if (change.from !== null) {
    await mark(host.files, change, 'changing', change.from)
    if (configOf(change.from).rollback !== undefined) await runScript(host, change, change.from, 'rollback', { from: null, to: change.from })
    await removeDurably(host.files, await markerOf(host.files, change))
  }
  await notes.write(host.files, change, progressNote, 'done')
}

/** Undoes `to` where there is one, else brings the dropped `from` back. */
async function undo(host: Host, change: Change): Promise<void> {
  if (change.to !== null) {
    if (configOf(change.to).rollback === undefined) throw new DriverError('irreversible', `${change.component} has no rollback script`)
    await mark(host.files, change, 'changing', change.to)
    return runScript(host, change, change.to, 'rollback', change)
  }
  const from = change.from!
  await mark(host.files, change, 'changing', from)
  if (configOf(from).rollback !== undefined) await runScript(host, change, from, 'apply', { from: null, to: from })
}

async function rollback(host: Host, change: Change): Promise<void> {
  if ((await notes.read(host.files, change, progressNote)) === null) return
  await undo(host, change)
  if (change.from === null) await removeDurably(host.files, await markerOf(host.files, change))
  else await mark(host.files, change, 'applied', change.from)
  await notes.remove(host.files, change, progressNote)
}

export const scriptDriver: Driver = {
  name: 'script',
  atomicity: 'converge',
  reversible: ({ config }) => (config.driver === 'script' && config.rollback === undefined ? 'no' : 'yes'),
  observe,
  stage,
  apply,
  verify: verifyObserved,
  commit: ({ files }, change) => notes.remove(files, change, progressNote),
  rollback,
  cleanup: ({ files }, change) => notes.removeAll(files, change),
}
