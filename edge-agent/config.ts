import * as z from 'zod'
import { parseOrThrow } from '../protocol/errors.ts'
import { FleetId, KeyId, NodeName, SiteId } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import { personalities } from '../protocol/manifest.ts'
import { CheckName } from '../protocol/monitoring.ts'

const AbsolutePath = z.string().max(limits.pathBytesMax).regex(/^\/(?:[^/\0]+(?:\/[^/\0]+)*)?$/, 'must be an absolute path without a slash at its end')

const NodeConfig = z.strictObject({
  name: NodeName,
  personality: z.enum(personalities),
  /** The directory that is `/` to the node's releases. */
  root: AbsolutePath,
  /** The node this agent runs on; it is updated last. */
  hasAgent: z.boolean().default(false),
})

/** A program that the site's monitoring may have run as a check, by its name: the centre can choose it, never change it. */
const CheckCommand = z.strictObject({
  path: AbsolutePath,
  args: z.array(z.string().max(limits.pathBytesMax).regex(/^[^\0]*$/, 'must have no null characters')).max(64).default([]),
  /** No longer than this, whatever a check allows it. */
  timeoutMs: z.int().min(1).max(60_000).optional(),
})
export type CheckCommand = z.infer<typeof CheckCommand>

/** `agent.json`: what one site's agent is told about itself. Everything else it learns from its controller, signed. */
export const AgentConfig = z
  .strictObject({
    site: SiteId,
    fleet: FleetId,
    controllerUrl: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, '')),
    rootFingerprint: KeyId,
    stateDirectory: AbsolutePath.refine((path) => path !== '/', 'must not be the root directory'),
    nodes: z.array(NodeConfig).min(1).max(limits.nodesPerSiteMax),
    /** Nodes changed at the same time; never more controllers than leave a majority up. */
    nodesAtOnceMax: z.int().min(1).max(limits.nodesPerSiteMax).default(1),
    keepAliveS: z.int().min(5).max(3600).default(30),
    /** Spreads what many sites would do at the same moment: answers to a roll-call, staging ahead. */
    jitterMs: z.int().min(0).max(3_600_000).default(10_000),
    /** Longest pause between two tries to connect. */
    reconnectMsMax: z.int().min(100).max(3_600_000).default(120_000),
    /** Of the site's Kubernetes; absent: where kubeadm, k3s and rke2 keep it. */
    kubeconfig: AbsolutePath.optional(),
    commands: z.record(CheckName, CheckCommand).refine((commands) => Object.keys(commands).length <= limits.siteChecksMax, `at most ${limits.siteChecksMax}`).optional(),
  })
  .superRefine(({ nodes, stateDirectory }, context) => {
    const issue = (message: string): void => context.addIssue({ code: 'custom', path: ['nodes'], message })
    const agents = nodes.filter((node) => node.hasAgent).length
    if (agents !== 1) issue(`exactly one node must have hasAgent, not ${agents}`)
    for (const key of ['name', 'root'] as const) {
      const values = nodes.map((node) => node[key])
      const twice = values.find((value, i) => values.indexOf(value as never) !== i)
      if (twice !== undefined) issue(`two nodes have the ${key} ${twice}`)
    }
    const inside = nodes.find((node) => node.root !== '/' && `${node.root}/`.startsWith(`${stateDirectory}/`))
    if (inside !== undefined) issue(`the root of ${inside.name} lies inside the state directory`)
  })
export type AgentConfig = z.infer<typeof AgentConfig>

/** A configuration with its defaults; throws FleetError `bad-request` that lists every fault. */
export const parseConfig = (value: unknown): AgentConfig => parseOrThrow(AgentConfig, value, 'agent.json')
