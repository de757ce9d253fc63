import { utf8 } from '../../protocol/bytes.ts'
import type { Files, Host, Installation } from '../host/host.ts'
import { installationPaths, type InstallationPaths } from '../installation/paths.ts'
import { readVerdict, writeTrial } from '../installation/trial.ts'
import { pointAt, versionAt } from '../installation/version-link.ts'
import { DriverError, type Change, type Driver, type Observed, type StagedTree } from './contract.ts'
import { notes, readText, removeDurably } from './durable.ts'
import { discardTree, placeTree } from './place-tree.ts'
import { verifyObserved } from './verify-observed.ts'

/**
 * The `agent` driver: the agent replaces itself. `apply` ends this process, and is called again by whichever version the
 * launcher starts then (infra/agent/launcher):
 *
 *     old: stage → apply: trial → restart → new: apply: reports in → current = new → verify → commit
 *                                             └ crashes, hangs, is not heard → old: apply: verdict → rollback
 *
 * While a version is on trial `current` leads to the old one; making it `current` is the point from which the launcher
 * lets it be. A release without this component leaves the agent as it is and only forgets that a release brought it.
 */
const beforeNote = 'version-before'
const programs = ['bin/node', 'agent.mjs']

type Place = { files: Files; installation: Installation; paths: InstallationPaths }

function placeOf({ files, installation }: Host): Place {
  if (installation === undefined) throw new DriverError('not-installed', 'this agent was not started by its launcher, so it cannot replace itself (docs/AGENT.md)')
  return { files, installation, paths: installationPaths(installation.directory) }
}

const versionPath = (paths: InstallationPaths, tree: StagedTree): string => `${paths.versions}/${tree.digest}`

/** What the release brought, where it is what runs. */
async function observe(host: Host): Promise<Observed> {
  if (host.installation === undefined) return { state: 'absent' }
  const { files, installation, paths } = placeOf(host)
  const managed = await readManaged(files, paths)
  if (managed === null) return { state: 'absent' }
  return managed === installation.running ? { state: 'present', digest: managed } : { state: 'mixed', detail: `${managed} was brought, and ${installation.running} runs` }
}

const readManaged = async (files: Files, paths: InstallationPaths): Promise<string | null> => (await readText(files, paths.managed))?.trim() ?? null

async function writeManaged(files: Files, paths: InstallationPaths, version: string | null): Promise<void> {
  if ((await readManaged(files, paths)) === version) return
  if (version === null) await removeDurably(files, paths.managed)
  else await files.writeDurable(paths.managed, utf8(`${version}\n`))
}

/** A new attempt is a new trial. Both versions are placed: the way back must need no space that may be gone by then. */
async function stage(host: Host, change: Change): Promise<void> {
  const { files, paths } = placeOf(host)
  if (change.to === null) return
  for (const program of programs) {
    if ((await files.facts(`${change.to.tree.path}/${program}`)) === null) throw new DriverError('not-an-agent', `there is no ${program} in the tree of ${change.component}`)
  }
  if ((await readVerdict(files, paths))?.version === change.to.tree.digest) await removeDurably(files, paths.verdict)
  await notes.remove(files, change, beforeNote)
  for (const side of [change.to, change.from]) if (side !== null) await placeTree(files, side.tree, versionPath(paths, side.tree))
}

async function apply(host: Host, change: Change): Promise<void> {
  const { files, installation, paths } = placeOf(host)
  if (change.to === null) return writeManaged(files, paths, null)
  const wanted = change.to.tree
  if (installation.running === wanted.digest) return settle(host, change)
  const verdict = await readVerdict(files, paths)
  if (verdict?.version === wanted.digest) throw new DriverError(verdict.code, verdict.detail)
  await placeTree(files, wanted, versionPath(paths, wanted))
  await notes.write(files, change, beforeNote, installation.running)
  await writeTrial(files, paths, { version: wanted.digest, trialS: installation.trialS })
  await installation.restart()
}

/** The version that runs is the wanted one: once it has reported in, it is here to stay. */
async function settle(host: Host, change: Change): Promise<void> {
  const { files, installation, paths } = placeOf(host)
  const current = await versionAt(files, paths.current)
  if (current !== installation.running) {
    await installation.hasReportedIn(change.signal)
    if (current !== null) await pointAt(files, paths.previous, current)
    await pointAt(files, paths.current, installation.running)
  }
  await writeManaged(files, paths, installation.running)
  await removeDurably(files, paths.trial)
}

/** Back to the version of the old release, or where that brought none, to the one that ran before. */
async function rollback(host: Host, change: Change): Promise<void> {
  if (host.installation === undefined) return
  const { files, installation, paths } = placeOf(host)
  const target = change.from?.tree.digest ?? (await notes.read(files, change, beforeNote)) ?? installation.running
  await removeDurably(files, paths.trial)
  if (change.from !== null) await placeTree(files, change.from.tree, versionPath(paths, change.from.tree))
  await pointAt(files, paths.current, target)
  await writeManaged(files, paths, change.from?.tree.digest ?? null)
  if (target !== installation.running) await installation.restart()
}

/** Leaves the version that runs and the one before it. */
async function cleanup(host: Host, change: Change): Promise<void> {
  const { files } = host
  await notes.removeAll(files, change)
  if (host.installation === undefined) return
  const { installation, paths } = placeOf(host)
  const kept = new Set([installation.running, await versionAt(files, paths.current), await versionAt(files, paths.previous)])
  for (const name of await files.list(paths.versions)) if (!kept.has(name)) await discardTree(files, `${paths.versions}/${name}`)
  for (const link of [paths.current, paths.previous]) await removeDurably(files, `${link}.new`)
  if ((await readVerdict(files, paths))?.version === change.to?.tree.digest) await removeDurably(files, paths.verdict)
}

export const agentDriver: Driver = {
  name: 'agent',
  atomicity: 'switch',
  reversible: () => 'yes',
  observe,
  stage,
  apply,
  verify: verifyObserved,
  commit: ({ files }, change) => notes.remove(files, change, beforeNote),
  rollback,
  cleanup,
}
