import * as z from 'zod'
import { limits } from './limits.ts'
import { Selector } from './labels.ts'
import { ReleaseId, RolloutId } from './ids.ts'
import { Freeze, Instant, Span, Window } from './time.ts'

const Percent = z.string().regex(/^(?:100|[1-9]?\d)(?:\.\d{1,2})?%$/, 'must be a percentage such as 10%').refine((text) => Number.parseFloat(text) <= 100, 'must be at most 100%')
/** A number of sites, or a share of them. */
export const Amount = z.union([z.int().positive().max(limits.sitesMax), Percent.refine((text) => Number.parseFloat(text) > 0, 'must be more than 0%')])
export type Amount = z.infer<typeof Amount>

/** Sites an amount stands for: shares are rounded up for the size of a wave, and down but at least to 1 for a limit. */
export const amountUp = (amount: Amount, of: number): number => (typeof amount === 'number' ? amount : Math.ceil((Number.parseFloat(amount) / 100) * of - 1e-9))
export const amountDown = (amount: Amount, of: number): number => (typeof amount === 'number' ? amount : Math.max(1, Math.floor((Number.parseFloat(amount) / 100) * of + 1e-9)))

export const WavePolicy = z.strictObject({
  name: z.string().min(1).max(limits.slugLengthMax),
  /** Of the rollout's members; `rest` takes all that are left. */
  size: z.union([Amount, z.literal('rest')]),
  /** Only members that this selects may enter the wave. */
  selector: Selector.optional(),
  /** The next wave opens only when every member has ended (and soak and approval, which need a barrier, are over). */
  barrier: z.boolean().default(false),
  successThreshold: z.number().min(0).max(1).default(0.9),
  /** How long the wave must stay well after its last success. Makes it a barrier. */
  soak: Span.default(0),
  /** A person must say so before the next wave opens. Makes it a barrier. */
  approval: z.boolean().default(false),
})
export type WavePolicy = z.infer<typeof WavePolicy>

const defaultWaves = [
  { name: 'canary', size: 1, barrier: true, successThreshold: 1, soak: 0, approval: false },
  { name: 'ramp', size: '10%', barrier: false, successThreshold: 0.9, soak: 0, approval: false },
  { name: 'rest', size: 'rest' as const, barrier: false, successThreshold: 0.9, soak: 0, approval: false },
]

/** How a rollout moves. Everything has a default; a policy is stored as it was when the rollout was created. */
export const RolloutPolicy = z
  .strictObject({
    waves: z.array(WavePolicy).min(1).max(limits.wavesMax).default(defaultWaves),
    /** Sites in flight at once, over all waves (SPEC I7). */
    maxParallel: Amount.default('10%'),
    /** Besides that, at most so many in flight among the sites that share a value of this label. */
    groupBy: z.strictObject({ label: z.string().max(317), maxParallel: Amount }).nullable().default(null),
    /** Pauses when so many sites, or such a share of those that ended once `minExecuted` have, failed since failures were last acknowledged. */
    failureThreshold: z.strictObject({ value: Amount, minExecuted: z.int().min(1).default(5) }).default({ value: '10%', minExecuted: 5 }),
    /** How long a grant may wait for its start. */
    startWithin: Span.pipe(z.int().min(1000)).default(15 * 60_000),
    /** How long a site may take from its start to its end, rollback included. */
    maxDuration: Span.pipe(z.int().min(1000)).default(60 * 60_000),
    /** Automatic further attempts of a site that failed or rolled back, the first after `retryDelay`, each later one after twice the time. */
    retries: z.int().min(0).max(limits.retriesMax).default(0),
    retryDelay: Span.default(5 * 60_000),
    /** How long sites that were offline at their turn may still catch up. */
    parkedFor: Span.default(30 * 86_400_000),
    startAt: Instant.nullable().default(null),
    staging: z.enum(['ahead', 'with-start']).default('with-start'),
    joiners: z.enum(['include', 'exclude']).default('exclude'),
    /** Higher goes first where two rollouts want one site. */
    priority: z.int().min(-1000).max(1000).default(0),
    /** Whether gating alarms on sites a wave touched keep the next wave shut. */
    alarmGate: z.boolean().default(true),
    /** Besides each site's own windows and freezes; read in each site's time zone. */
    windows: z.array(Window).max(limits.windowsPerSiteMax).default([]),
    freezes: z.array(Freeze).max(limits.freezesPerSiteMax).default([]),
  })
  .superRefine((policy, context) => {
    const rest = policy.waves.findIndex((wave) => wave.size === 'rest' && wave.selector === undefined)
    if (rest >= 0 && rest !== policy.waves.length - 1) context.addIssue({ code: 'custom', message: 'a wave after "rest" would be empty', path: ['waves'] })
    const names = policy.waves.map((wave) => wave.name)
    if (new Set(names).size !== names.length) context.addIssue({ code: 'custom', message: 'two waves have the same name', path: ['waves'] })
  })
export type RolloutPolicy = z.infer<typeof RolloutPolicy>

/** What a rollout takes its sites to: a release, or for each site the one it was taken from by an earlier rollout. */
export const RolloutTarget = z.union([z.strictObject({ release: ReleaseId }), z.strictObject({ previousOf: RolloutId })])
export type RolloutTarget = z.infer<typeof RolloutTarget>

/** Which earlier, unstarted deployments this rollout overtakes. */
export const RolloutRequest = z.strictObject({
  name: z.string().min(1).max(200),
  target: RolloutTarget,
  selector: Selector,
  policy: RolloutPolicy.prefault({}),
  /** Unfinished rollouts whose unstarted deployments become `superseded` where both select a site; `all` for every older one. */
  replaces: z.union([z.literal('all'), z.array(RolloutId).max(100)]).default([]),
})
export type RolloutRequest = z.infer<typeof RolloutRequest>

/** A wave is a barrier when it says so, or when it has something to wait for. */
export const isBarrier = (wave: WavePolicy): boolean => wave.barrier || wave.soak > 0 || wave.approval

