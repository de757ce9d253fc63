import * as z from 'zod'
import { canonicalJson } from './bytes.ts'
import { limits } from './limits.ts'
import { severities } from './states.ts'

const AbsolutePath = z.string().min(1).max(limits.mountPathMax).regex(/^\/[^\0\p{Cc}]*$/u, 'must be an absolute path without control characters')
/** What a check is called, and a command that a site allows. */
export const CheckName = z.string().max(limits.slugLengthMax).regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, 'must be lower-case letters, digits and inner hyphens')
const Severity = z.enum(severities)

/** Raised once `raiseAfter` of the last `outOf` samples are beyond a level, cleared once all of the last `clearAfter` are `hysteresis` better than it. */
const debounce = {
  raiseAfter: z.int().min(1).max(60).optional(),
  outOf: z.int().min(1).max(60).optional(),
  clearAfter: z.int().min(1).max(60).optional(),
  hysteresis: z.number().min(0).optional(),
}
/** Levels from which on it is that bad; null switches one off. Units are said where it is used. */
const levels = (most: number) => ({ minor: z.number().min(0).max(most).nullable().optional(), major: z.number().min(0).max(most).nullable().optional(), critical: z.number().min(0).max(most).nullable().optional() })
const Threshold = (most: number) => z.strictObject({ ...levels(most), ...debounce })

const common = {
  name: CheckName,
  severity: Severity.default('major'),
  /** Between two tries, and for each of them, in seconds. */
  everyS: z.int().min(5).max(3600).default(60),
  timeoutS: z.int().min(1).max(60).default(10),
  raiseAfter: z.int().min(1).max(60).default(3),
  clearAfter: z.int().min(1).max(60).default(2),
}
/** What a site looks at besides itself. A command is named: what it runs stands in the site's own `agent.json`. */
export const SiteCheck = z.discriminatedUnion('type', [
  z.strictObject({ ...common, type: z.literal('http'), url: z.url({ protocol: /^https?$/ }).max(2000), status: z.array(z.int().min(100).max(599)).min(1).max(20).default([200]), bodyContains: z.string().max(1000).optional() }),
  z.strictObject({ ...common, type: z.literal('tcp'), host: z.string().min(1).max(253), port: z.int().min(1).max(65_535) }),
  z.strictObject({ ...common, type: z.literal('command'), command: CheckName }),
])
export type SiteCheck = z.infer<typeof SiteCheck>

/**
 * What a site watches, as far as somebody says it: all of it is optional, and what is not said is the default. Lists replace, objects are merged.
 * A closed union: nothing executable comes this way.
 */
export const MonitoringSettings = z.strictObject({
  /** Between two samples, in seconds. */
  everyS: z.int().min(5).max(300).optional(),
  /** Percent busy. */
  cpu: Threshold(100).optional(),
  /** Percent in use. */
  memory: Threshold(100).optional(),
  /** Percent in use; `paths` sets other levels for single mount points, `ignore` leaves some out. */
  filesystem: z.strictObject({ ...levels(100), ...debounce, paths: z.record(AbsolutePath, z.strictObject(levels(100))).refine((paths) => Object.keys(paths).length <= limits.filesystemsPerNodeMax, `at most ${limits.filesystemsPerNodeMax}`).optional(), ignore: z.array(AbsolutePath).max(limits.filesystemsPerNodeMax).optional() }).optional(),
  /** Percent of a directory's budget; paths are those of each node that has them. */
  directory: z.strictObject({ ...levels(10_000), ...debounce, budgets: z.record(AbsolutePath, z.int().min(1)).refine((paths) => Object.keys(paths).length <= limits.filesystemsPerNodeMax, `at most ${limits.filesystemsPerNodeMax}`).optional() }).optional(),
  /** Names to watch; absent: those with a device behind them that were up when the agent first saw them. */
  interfaces: z.strictObject({ watch: z.array(z.string().min(1).max(64)).max(64).optional(), ignore: z.array(z.string().min(1).max(64)).max(64).optional(), severity: Severity.optional(), raiseAfter: debounce.raiseAfter, clearAfter: debounce.clearAfter }).optional(),
  /** Milliseconds off; `servers` are asked by SNTP, without any the host says whether it is synchronised. */
  clock: z.strictObject({ ...levels(86_400_000), ...debounce, servers: z.array(z.string().min(1).max(253)).max(8).optional() }).optional(),
  units: z.strictObject({ enabled: z.boolean().optional(), ignore: z.array(z.string().min(1).max(256)).max(64).optional(), severity: Severity.optional() }).optional(),
  disks: z.strictObject({ enabled: z.boolean().optional(), ignore: z.array(z.string().min(1).max(64)).max(64).optional() }).optional(),
  /** Days left; the agent's own, and those in these files. */
  certificates: z.strictObject({ minor: z.number().min(0).nullable().optional(), major: z.number().min(0).nullable().optional(), critical: z.number().min(0).nullable().optional(), files: z.array(AbsolutePath).max(64).optional() }).optional(),
  kubernetes: z.strictObject({ enabled: z.boolean().optional(), namespaces: z.array(z.string().min(1).max(63)).max(16).optional(), raiseAfter: debounce.raiseAfter, clearAfter: debounce.clearAfter }).optional(),
  /**
   * Whether the health checks of the running release's components go on after its deployment, and how often; `ignore` names what may change
   * in their trees: `COMPONENT` or `COMPONENT/PATH`, with all below it.
   */
  components: z.strictObject({ enabled: z.boolean().optional(), ignore: z.array(z.string().min(1).max(limits.pathBytesMax)).max(64).optional(), everyS: z.int().min(10).max(86_400).optional(), raiseAfter: debounce.raiseAfter, clearAfter: debounce.clearAfter }).optional(),
  checks: z.array(SiteCheck).max(limits.siteChecksMax).refine((checks) => new Set(checks.map(({ name }) => name)).size === checks.length, 'two checks have the same name').optional(),
})
export type MonitoringSettings = z.infer<typeof MonitoringSettings>

/** Defaults, with every level said. */
export const monitoringDefaults = {
  everyS: 60,
  cpu: { minor: null, major: 90, critical: 95, raiseAfter: 5, outOf: 7, clearAfter: 3, hysteresis: 5 },
  memory: { minor: null, major: 85, critical: 95, raiseAfter: 3, outOf: 5, clearAfter: 3, hysteresis: 5 },
  filesystem: { minor: null, major: 85, critical: 95, raiseAfter: 2, outOf: 3, clearAfter: 2, hysteresis: 2, paths: {}, ignore: [] },
  directory: { minor: null, major: 85, critical: 95, raiseAfter: 2, outOf: 3, clearAfter: 2, hysteresis: 2, budgets: {} },
  interfaces: { ignore: [], severity: 'major', raiseAfter: 2, clearAfter: 2 },
  clock: { minor: 100, major: 1000, critical: 60_000, raiseAfter: 3, outOf: 5, clearAfter: 3, hysteresis: 50, servers: [] },
  units: { enabled: true, ignore: [], severity: 'major' },
  disks: { enabled: true, ignore: [] },
  certificates: { minor: 30, major: 14, critical: 3, files: [] },
  kubernetes: { enabled: true, namespaces: ['kube-system'], raiseAfter: 3, clearAfter: 2 },
  components: { enabled: true, ignore: [], everyS: 300, raiseAfter: 2, clearAfter: 1 },
  checks: [],
} as const satisfies MonitoringSettings

type Plain = { [key: string]: unknown }
const isPlain = (value: unknown): value is Plain => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Settings over settings, the later ones first in rank: objects are merged, everything else is replaced. */
export function mergeMonitoring(...layers: readonly MonitoringSettings[]): MonitoringSettings {
  const merge = (under: Plain, over: Plain): Plain => {
    const merged: Plain = { ...under }
    for (const [key, value] of Object.entries(over)) {
      const before = merged[key]
      if (value !== undefined) merged[key] = isPlain(before) && isPlain(value) ? merge(before, value) : value
    }
    return merged
  }
  return layers.reduce<Plain>((under, over) => merge(under, over as Plain), {}) as MonitoringSettings
}

/** The bytes whose SHA-256 names a set of settings: a site says by it which it follows. */
export const monitoringText = (settings: MonitoringSettings): string => canonicalJson(settings)
/** What that is of settings that say nothing: an agent that follows the defaults may say this, or null. */
export const defaultsDigest = '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
