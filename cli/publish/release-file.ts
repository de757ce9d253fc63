import { dirname, resolve } from 'node:path'
import * as z from 'zod'
import { ReleaseName } from '../../protocol/ids.ts'
import { Component, DriverConfig, Manifest, TreePath } from '../../protocol/manifest.ts'
import { parseYaml } from '../files/read-yaml.ts'

const OwnerSetting = z.strictObject({ uid: z.int().nonnegative(), gid: z.int().nonnegative() })

/**
 * A component as its author writes it: what the manifest will say, with the directory its tree is made from in the place
 * of the tree, and the driver's settings beside the rest. All other keys must be settings of the driver.
 */
const ComponentSource = z
  .looseObject({
    name: ReleaseName,
    /** Absent means the release's. */
    version: Component.shape.version.optional(),
    /** Directory of the tree, relative to the file. */
    source: z.string().min(1),
    personalities: Component.shape.personalities,
    health: Component.shape.health,
    /** Numeric owners of files, by their path in the tree. */
    owners: z.record(TreePath, OwnerSetting).default({}),
  })
  .transform(({ name, version, source, personalities, health, owners, ...settings }, context) => {
    const config = DriverConfig.safeParse(settings)
    if (config.success) return { name, version, source, personalities, health, owners, config: config.data }
    for (const issue of config.error.issues) context.issues.push({ ...issue, input: settings } as z.core.$ZodRawIssue)
    return z.NEVER
  })

const { name, version, kind, description, activation, architectures, protocolMin, requires, replaces, skips } = Manifest.shape

/** `release.yaml`. */
export const ReleaseSource = z.strictObject({
  name, version, kind: kind.default('release'), description, activation, architectures, protocolMin, requires, replaces, skips,
  components: z.array(ComponentSource).min(1),
})
export type ReleaseSource = z.infer<typeof ReleaseSource>

/** A release as its author wrote it, with the directories of its components made absolute. */
export type ReleaseFile = { path: string; source: ReleaseSource }

/** Throws CliError `usage` with a line number for each fault. */
export function parseReleaseFile(text: string, path: string): ReleaseFile {
  const source = parseYaml(text, path).check(ReleaseSource)
  const directory = dirname(resolve(path))
  return { path, source: { ...source, components: source.components.map((component) => ({ ...component, source: resolve(directory, component.source) })) } }
}
