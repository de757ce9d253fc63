import * as z from 'zod'
import { Digest, ReleaseName, Version, releaseId, type ReleaseId } from './ids.ts'
import { limits } from './limits.ts'
import { Span } from './time.ts'
import { VersionRange } from './version.ts'

/** A path inside a tree: relative, normal, with `/`; nothing can point outside (faults F16). */
export const TreePath = z
  .string()
  .min(1)
  .max(limits.pathBytesMax)
  .refine((path) => !path.startsWith('/') && !path.includes('\0') && !path.includes('\\') && path.normalize('NFC') === path && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..'), {
    message: 'must be a relative path without empty, "." or ".." parts, in Unicode NFC',
  })

/** A path on a node, from the node's root. */
export const NodePath = z
  .string()
  .max(limits.pathBytesMax)
  .refine((path) => path.startsWith('/') && path.length > 1 && TreePath.safeParse(path.slice(1)).success, { message: 'must be an absolute path without "." or ".." parts' })

/** Owner and group by number; absent means the agent's own. */
const Owner = z.strictObject({ uid: z.int().nonnegative().max(2 ** 31), gid: z.int().nonnegative().max(2 ** 31) })

/** One entry of a tree: a file by the digest of its bytes, or a symbolic link that stays inside the tree. */
export const TreeEntry = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('file'), path: TreePath, mode: z.int().min(0).max(0o777), owner: Owner.optional(),
    size: z.int().nonnegative().max(limits.fileBytesMax), sha256: Digest,
  }),
  z.strictObject({ type: z.literal('link'), path: TreePath, target: z.string().min(1).max(limits.pathBytesMax) }),
])
export type TreeEntry = z.infer<typeof TreeEntry>

/**
 * `..` is allowed only at the start of a target: there it climbs real directories, whereas behind another link of the
 * tree it would climb from wherever that one leads (F16).
 */
function linkStaysInside(path: string, target: string): boolean {
  if (target.startsWith('/') || target.includes('\0') || target.includes('\\')) return false
  const parts = target.split('/').filter((part) => part !== '.' && part !== '')
  const firstName = parts.findIndex((part) => part !== '..')
  const climbs = firstName < 0 ? parts.length : firstName
  return climbs < path.split('/').length && !parts.includes('..', climbs)
}

function treeFault(entries: readonly TreeEntry[]): string | null {
  const folded = new Set<string>()
  let previous = ''
  for (const entry of entries) {
    if (entry.path <= previous) return `entries must be sorted by path and unique: ${entry.path}`
    previous = entry.path
    const lower = entry.path.toLowerCase()
    if (folded.has(lower)) return `two paths differ only in case: ${entry.path}`
    folded.add(lower)
    if (entry.type === 'link' && !linkStaysInside(entry.path, entry.target)) return `link leaves the tree: ${entry.path} -> ${entry.target}`
  }
  for (const path of folded) {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      if (folded.has(path.slice(0, slash))) return `${path.slice(0, slash)} is both a file and a directory`
    }
  }
  return null
}

/** A tree listing: what a tree *is*. Its canonical JSON's digest is the tree's digest. Sorted by path in code-unit order. */
export const TreeListing = z
  .strictObject({ v: z.literal(1), entries: z.array(TreeEntry).max(limits.filesPerTreeMax) })
  .superRefine((listing, context) => {
    const fault = treeFault(listing.entries)
    if (fault !== null) context.addIssue({ code: 'custom', message: fault })
  })
export type TreeListing = z.infer<typeof TreeListing>

/** A tree as a component refers to it: the digest of its listing, the sum of its files' sizes, and their number. */
export const TreeRef = z.strictObject({ digest: Digest, listingBytes: z.int().positive().max(limits.listingBytesMax), size: z.int().nonnegative(), files: z.int().nonnegative().max(limits.filesPerTreeMax) })
export type TreeRef = z.infer<typeof TreeRef>

const attempts = { timeout: Span.default(5000), interval: Span.default(1000), retries: z.int().min(0).max(1000).default(10) }

/**
 * A check that must pass for a change to count as done. It is tried every `interval` until it passes once, at most
 * `1 + retries` times, each attempt bounded by `timeout`.
 */
export const HealthCheck = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('http'), name: z.string().max(100), url: z.url({ protocol: /^https?$/ }), status: z.array(z.int().min(100).max(599)).min(1).default([200]), bodyContains: z.string().max(1000).optional(), ...attempts }),
  z.strictObject({ type: z.literal('tcp'), name: z.string().max(100), host: z.string().max(253), port: z.int().min(1).max(65_535), ...attempts }),
  /** `path` is a file of the component's own tree, run with `args`; exit status 0 passes. */
  z.strictObject({ type: z.literal('command'), name: z.string().max(100), path: TreePath, args: z.array(z.string().max(1000)).max(64).default([]), ...attempts }),
  /** A file on the node: exists, and where given has this digest or contains this text (read up to 1 MiB). */
  z.strictObject({ type: z.literal('file'), name: z.string().max(100), path: NodePath, sha256: Digest.optional(), contains: z.string().max(1000).optional(), ...attempts }),
])
export type HealthCheck = z.infer<typeof HealthCheck>

/** How a component is applied. The driver's name is the tag; a new driver is a new member. */
export const DriverConfig = z.discriminatedUnion('driver', [
  /** The tree appears at `target` by one rename of a symbolic link. */
  z.strictObject({ driver: z.literal('files'), target: NodePath }),
  /** The tree's `.deb` files are installed by dpkg into the node's root. */
  z.strictObject({ driver: z.literal('packages') }),
  /** A program of the tree, bounded in time and output. Without `rollback` it must say that it cannot be undone. */
  z
    .strictObject({
      driver: z.literal('script'), apply: TreePath, rollback: TreePath.optional(), observe: TreePath.optional(), irreversible: z.literal(true).optional(),
      timeout: Span.pipe(z.int().min(1).max(limits.scriptMs)).default(10 * 60_000), outputBytesMax: z.int().min(0).max(limits.outputBytesMax).default(16 * 1024),
    })
    .refine((config) => (config.rollback === undefined) === (config.irreversible === true), { message: 'a script needs either a rollback script or irreversible: true' }),
  /** The site's own agent: the tree is one version of it, and `protocol` the range of protocol versions that it speaks. */
  z.strictObject({
    driver: z.literal('agent'),
    protocol: z.strictObject({ min: z.int().positive(), max: z.int().positive() }).refine(({ min, max }) => min <= max, { message: 'min must not be above max' }),
  }),
])
export type DriverConfig = z.infer<typeof DriverConfig>
export type DriverName = DriverConfig['driver']

/** The first protocol version whose agents know this driver: a manifest that uses it needs at least that. */
const driverSince: Record<DriverName, number> = { files: 1, packages: 1, script: 1, agent: 2 }
/** The lowest protocol version that a manifest with these components may name as its `protocolMin`. */
export const protocolNeededBy = (components: readonly { config: DriverConfig }[]): number => Math.max(1, ...components.map(({ config }) => driverSince[config.driver]))

export const personalities = ['controller', 'worker', 'storage'] as const

/** One part of a release, with the driver that applies it. Components are applied in the order of the manifest. */
export const Component = z.strictObject({
  name: ReleaseName,
  version: z.string().min(1).max(100),
  config: DriverConfig,
  tree: TreeRef,
  /** Only on nodes of these personalities; absent means on every node. The agent is on its own node, and has none of these. */
  personalities: z.array(z.enum(personalities)).min(1).optional(),
  /** Checked on each node after all its components are applied. */
  health: z.array(HealthCheck).max(limits.healthChecksMax).default([]),
})
export type Component = z.infer<typeof Component>

/** `1.2.x` of this product, or of another where it is written `name@range`. */
const Predecessor = z.string().max(300).refine(
  (text) => {
    const at = text.indexOf('@')
    return (at < 0 || ReleaseName.safeParse(text.slice(0, at)).success) && VersionRange.safeParse(text.slice(at + 1)).success
  },
  { message: 'must be a version range, or name@range' },
)

/**
 * What a publisher signs: content identity only, and the *complete* set of components, so that a site always runs
 * exactly one release. Every byte that may be installed is named through the trees' digests.
 */
export const Manifest = z
  .strictObject({
    v: z.literal(1),
    kind: z.enum(['release', 'patch']),
    name: ReleaseName,
    version: Version,
    createdAtMs: z.int().nonnegative(),
    description: z.string().max(2000).default(''),
    activation: z.enum(['in-service', 'reboot-required']).default('in-service'),
    /** CPU architectures (as `uname -m` says) it may be installed on; absent means any. */
    architectures: z.array(z.string().max(32)).min(1).max(16).optional(),
    /** Lowest protocol version an agent must speak. */
    protocolMin: z.int().positive().default(1),
    /** The running version must lie in this range (a release that must be passed through). */
    requires: VersionRange.optional(),
    /** Running versions that may go straight to this one; absent means every lower version. */
    replaces: z.array(Predecessor).max(64).optional(),
    /** Further running versions that may skip what `replaces` names. */
    skips: z.array(Predecessor).max(64).optional(),
    components: z.array(Component).min(1).max(limits.componentsMax),
  })
  .superRefine((manifest, context) => {
    const names = manifest.components.map((component) => component.name)
    const twice = names.find((name, i) => names.indexOf(name) !== i)
    if (twice !== undefined) context.addIssue({ code: 'custom', message: `two components are called ${twice}`, path: ['components'] })
    const targets = manifest.components.flatMap((c) => (c.config.driver === 'files' ? [c.config.target] : []))
    const clash = targets.find((a, i) => targets.some((b, j) => i !== j && (a === b || b.startsWith(`${a}/`))))
    if (clash !== undefined) context.addIssue({ code: 'custom', message: `two components want ${clash}`, path: ['components'] })
    const agents = manifest.components.filter((component) => component.config.driver === 'agent')
    if (agents.length > 1) context.addIssue({ code: 'custom', message: 'a site has one agent: only one component may have the driver agent', path: ['components'] })
    if (agents.some((component) => component.personalities !== undefined)) context.addIssue({ code: 'custom', message: 'the agent is where it is: it takes no personalities', path: ['components'] })
    const needed = protocolNeededBy(manifest.components)
    if (manifest.protocolMin < needed) context.addIssue({ code: 'custom', message: `agents know every driver in it only since protocol ${needed}`, path: ['protocolMin'] })
    if (manifest.kind === 'patch' && manifest.replaces === undefined) context.addIssue({ code: 'custom', message: 'a patch must say what it replaces', path: ['replaces'] })
  })
export type Manifest = z.infer<typeof Manifest>

export const manifestReleaseId = (manifest: Manifest): ReleaseId => releaseId(manifest.name, manifest.version)

/** Components that cannot be undone once applied: shown by the plan, and why `revert` is refused. */
export const irreversibleComponents = (manifest: Manifest): string[] =>
  manifest.components.filter((c) => c.config.driver === 'script' && c.config.irreversible === true).map((c) => c.name)

/** Where the bytes of one content digest are: a stored object, or a range of a pack of small files. */
export const Location = z.union([
  z.strictObject({ object: Digest, storedBytes: z.int().nonnegative(), codec: z.enum(['zstd', 'none']) }),
  z.strictObject({ pack: Digest, offset: z.int().nonnegative(), storedBytes: z.int().nonnegative(), codec: z.enum(['zstd', 'none']) }),
])
export type Location = z.infer<typeof Location>

/**
 * How a release's content travels. Unsigned: the result's hash decides, so a wrong index can only fail (SPEC I2).
 * `content` maps a content digest (a file's, or a tree listing's) to its location; `objects` lists every stored object
 * with its size. A tree listing is always an object of its own with the codec `none`, so that whoever confirms a release can read it
 * without unpacking anything. `patches` is the place of per-file differences between releases, empty for now.
 */
export const DeliveryIndex = z.strictObject({
  v: z.literal(1),
  content: z.record(Digest, Location),
  objects: z.record(Digest, z.int().nonnegative()),
  patches: z.array(z.never()).default([]),
})
export type DeliveryIndex = z.infer<typeof DeliveryIndex>

/** Names in the object store. Objects are named by the digest of their *stored* bytes, so the store can check them. */
export const storeKeys = {
  object: (digest: string) => `objects/${digest.slice(0, 2)}/${digest}`,
  manifest: (digest: string) => `manifests/${digest}.json`,
  epoch: () => 'controller/epoch.json',
  /** Blocks of metrics of a day (`2026-06-01`), named by their own digest. */
  metrics: (day: string, digest: string) => `metrics/${day}/${digest}.pack`,
  /** What a check of the links puts and reads. */
  doctor: () => 'controller/doctor',
} as const

/** Content whose compressed form is at most this long travels in a pack. */
export const packedBytesMax = 64 * 1024
/** A pack is closed once it is this long. */
export const packBytesTarget = 8 * 1024 * 1024

