import * as z from 'zod'
import type { Host } from '../host/host.ts'
import { DriverError, type Change, type Driver, type Observed } from './contract.ts'
import { checkDpkg, readDebs, readPackages, repairDpkg, runDpkg, type Deb, type PackageState } from './debian.ts'
import { notes } from './durable.ts'
import { verifyObserved } from './verify-observed.ts'

/**
 * The `packages` driver: the tree's `.deb` files, installed by one call of dpkg, so that they may depend on each other.
 * A package that `from` had and `to` lacks is removed, its configuration files stay.
 *
 * The way back is `from`'s own `.deb` files; packages that were not there before are purged. What was there before, in
 * a version that no file of ours has, could not be brought back: `stage` refuses it with `no-way-back`, unless it is
 * `to`'s own version already, and then rollback leaves it. Which packages were there is noted before the first call of dpkg.
 */
const beforeNote = 'packages-before'
const Before = z.record(z.string(), z.strictObject({ version: z.string(), status: z.enum(['installed', 'leftover', 'broken']) }))
type Before = z.infer<typeof Before>

type World = { to: Map<string, Deb>; from: Map<string, Deb>; packages: Map<string, PackageState>; before: Before | null }

async function readWorld(host: Host, change: Change): Promise<World> {
  const debs = async (side: Change['to']): Promise<Map<string, Deb>> => (side === null ? new Map<string, Deb>() : readDebs(host, side.tree, change.signal))
  const noted = await notes.read(host.files, change, beforeNote)
  return {
    to: await debs(change.to),
    from: await debs(change.from),
    packages: await readPackages(host, change.node, change.signal),
    before: noted === null ? null : Before.parse(JSON.parse(noted)),
  }
}

const namesOf = ({ to, from }: World): string[] => [...new Set([...to.keys(), ...from.keys()])].sort()
const only = (some: Map<string, Deb>, without: Map<string, Deb>): string[] => [...some.keys()].filter((name) => !without.has(name))
const isThere = (state: PackageState | undefined): boolean => state !== undefined && state.status !== 'leftover'
const hasAll = (debs: Map<string, Deb>, packages: World['packages']): boolean =>
  [...debs.values()].every(({ name, version }) => packages.get(name)?.status === 'installed' && packages.get(name)?.version === version)

/** `to` is in effect: all its packages in its versions, none that it dropped. */
const showsTo = (world: World): boolean => hasAll(world.to, world.packages) && only(world.from, world.to).every((name) => !isThere(world.packages.get(name)))

/** `from` is in effect: all its packages, and those that only `to` has are as they were before dpkg was first called. */
function showsFrom({ to, from, packages, before }: World): boolean {
  const untouched = (name: string): boolean => {
    const now = packages.get(name)
    if (before === null) return now?.status !== 'broken'
    return isThere(now) === isThere(before[name]) && (!isThere(now) || (now?.version === before[name]?.version && now?.status === before[name]?.status))
  }
  return hasAll(from, packages) && only(to, from).every(untouched)
}

const inEffect = (side: Change['to']): Observed => (side === null ? { state: 'absent' } : { state: 'present', digest: side.tree.digest })

async function observe(host: Host, change: Change): Promise<Observed> {
  const world = await readWorld(host, change)
  if (showsTo(world)) return inEffect(change.to)
  if (showsFrom(world)) return inEffect(change.from)
  const names = namesOf(world)
  if (world.before === null && names.every((name) => !isThere(world.packages.get(name)))) return inEffect(null)
  const seen = names.map((name) => `${name} ${world.packages.get(name)?.version ?? '-'} ${world.packages.get(name)?.status ?? 'absent'}`)
  return { state: 'mixed', detail: seen.join(', ').slice(0, 400) }
}

async function stage(host: Host, change: Change): Promise<void> {
  await checkDpkg(host, change.signal)
  const { to, from, packages, before } = await readWorld(host, change)
  if (change.to !== null && to.size === 0) throw new DriverError('no-packages', 'its tree has no .deb file')
  const known = before === null ? packages : new Map(Object.entries(before))
  for (const name of only(to, from)) {
    const there = known.get(name)
    if (isThere(there) && there?.version !== to.get(name)!.version) {
      throw new DriverError('no-way-back', `${name} ${there?.version} is installed and no release of ours can bring it back`)
    }
  }
}

async function apply(host: Host, change: Change): Promise<void> {
  const world = await readWorld(host, change)
  if (world.before === null) {
    const before = Object.fromEntries(namesOf(world).flatMap((name) => (world.packages.has(name) ? [[name, world.packages.get(name)]] : [])))
    await notes.write(host.files, change, beforeNote, JSON.stringify(before))
  }
  await repairDpkg(host, change.node, change.signal)
  await install(host, change, [...world.to.values()])
  const { packages } = await readWorld(host, change)
  await runIfAny(host, change, ['--remove', '--force-remove-reinstreq'], only(world.from, world.to).filter((name) => isThere(packages.get(name))))
}

/** A package that was there before with nothing but its configuration files keeps them; a new one leaves nothing. */
async function rollback(host: Host, change: Change): Promise<void> {
  const { to, from, before } = await readWorld(host, change)
  if (before === null) return
  await repairDpkg(host, change.node, change.signal)
  const kept = [...to.values()].filter(({ name, version }) => !from.has(name) && before[name]?.version === version && isThere(before[name]))
  await install(host, change, [...from.values(), ...kept])
  const packages = await readPackages(host, change.node, change.signal)
  const added = only(to, from).filter((name) => !isThere(before[name]))
  await runIfAny(host, change, ['--purge', '--force-remove-reinstreq'], added.filter((name) => before[name] === undefined && packages.has(name)))
  await runIfAny(host, change, ['--remove', '--force-remove-reinstreq'], added.filter((name) => before[name] !== undefined && isThere(packages.get(name))))
}

const install = (host: Host, change: Change, debs: readonly Deb[]): Promise<void> => runIfAny(host, change, ['--install'], debs.map(({ file }) => file))

async function runIfAny(host: Host, change: Change, action: readonly string[], operands: readonly string[]): Promise<void> {
  if (operands.length > 0) await runDpkg(host, change.node, [...action, ...operands], change.signal)
}

export const packagesDriver: Driver = {
  name: 'packages',
  atomicity: 'converge',
  reversible: () => 'backup',
  observe,
  stage,
  apply,
  verify: verifyObserved,
  commit: ({ files }, change) => notes.remove(files, change, beforeNote),
  rollback,
  cleanup: ({ files }, change) => notes.removeAll(files, change),
}
