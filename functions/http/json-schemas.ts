import * as z from 'zod'
import { Envelope } from '../../protocol/envelope.ts'
import { Problem } from '../../protocol/errors.ts'
import { Enrolment } from '../../protocol/http/agent.ts'
import { AlarmView } from '../../protocol/http/alarms.ts'
import { EventView, TokenView } from '../../protocol/http/operations.ts'
import { ReleaseView } from '../../protocol/http/releases.ts'
import { Counts, DeploymentView, RolloutPlan, RolloutView, WaveView } from '../../protocol/http/rollouts.ts'
import { Blocker, ClaimView, Explanation, SiteView } from '../../protocol/http/sites.ts'
import { Position, ReleaseRef } from '../../protocol/ids.ts'
import { Labels, Selector } from '../../protocol/labels.ts'
import { Component, DriverConfig, HealthCheck, Manifest, TreeRef } from '../../protocol/manifest.ts'
import { RolloutPolicy, RolloutRequest, RolloutTarget, WavePolicy } from '../../protocol/policy.ts'
import { AttemptReport, Fault, NodeReport } from '../../protocol/reports.ts'
import { Freeze, Window } from '../../protocol/time.ts'

export type JsonSchema = { [keyword: string]: unknown }

/** The schemas that get a name of their own in the document, with a sentence each. */
const named: Record<string, [z.ZodType, string]> = {
  SiteView: [SiteView, 'A site: what the operator decided about it, and what it last said of itself.'],
  ClaimView: [ClaimView, 'A one-time permission to bind a key to a site, with the line to run there. Shown once.'],
  Explanation: [Explanation, 'Why a site is not updating: for each rollout an ordered list of blockers.'],
  Blocker: [Blocker, 'One reason why something does not move, and when or by whom it ends.'],
  Labels: [Labels, 'Key-value pairs of a site, by Kubernetes\' rules for labels.'],
  Selector: [Selector, 'Which sites are meant. Every part given must hold; a selector without any part selects nothing.'],
  Window: [Window, 'When a change may start: from each match of a five-field cron pattern in the site\'s time zone, for a duration.'],
  Freeze: [Freeze, 'When no change may start, in the site\'s time zone; `to` is the first moment after it.'],
  ReleaseRef: [ReleaseRef, 'A release named and pinned: the digest decides, the id is for people.'],
  Position: [Position, 'What orders directives at a site.'],
  AttemptReport: [AttemptReport, 'One attempt of a deployment, as the agent\'s journal has it.'],
  NodeReport: [NodeReport, 'A node as its agent sees it.'],
  Fault: [Fault, 'Where and why something failed.'],
  ReleaseView: [ReleaseView, 'A published release and how far its bytes are confirmed.'],
  Manifest: [Manifest, 'What a publisher signs: the complete set of components, by content.'],
  Component: [Component, 'One part of a release, with the driver that applies it.'],
  DriverConfig: [DriverConfig, 'How a component is applied.'],
  HealthCheck: [HealthCheck, 'A check that must pass for a change to count as done.'],
  TreeRef: [TreeRef, 'A tree of files by the digest of its listing.'],
  Envelope: [Envelope, 'A signed document: DSSE v1, payload and signatures in base64.'],
  RolloutRequest: [RolloutRequest, 'One target for a selection of sites under one policy.'],
  RolloutTarget: [RolloutTarget, 'A release, or for each site the one it ran before an earlier rollout.'],
  RolloutPolicy: [RolloutPolicy, 'How a rollout moves. Every field has a default. Lengths of time are written as 90s, 15m, 24h, 30d or in milliseconds.'],
  WavePolicy: [WavePolicy, 'An ordered part of a rollout, with its own gates.'],
  RolloutView: [RolloutView, 'A rollout and where it stands.'],
  WaveView: [WaveView, 'A wave and what the next one waits for.'],
  DeploymentView: [DeploymentView, 'One site\'s way through one rollout.'],
  RolloutPlan: [RolloutPlan, 'What a rollout would do, without doing any of it.'],
  Counts: [Counts, 'How many deployments are in which state.'],
  TokenView: [TokenView, 'A bearer token, without its secret.'],
  EventView: [EventView, 'One entry of the audit trail: who did what to what, and why.'],
  AlarmView: [AlarmView, 'A fault condition that stands until it clears.'],
  Enrolment: [Enrolment, 'All that an enrolled agent knows of its controller. Its secrets are the site\'s alone.'],
  Problem: [Problem, 'RFC 9457 problem details: `code` for programs, `detail` for people, every fault of a bad request in `errors`.'],
}

const registry = z.registry<{ id: string; description: string }>()
for (const [id, [schema, description]] of Object.entries(named)) registry.add(schema, { id, description })

type Io = 'input' | 'output'
const convert = (schema: z.ZodType, io: Io): JsonSchema => z.toJSONSchema(schema, { metadata: registry, io, unrepresentable: 'any' }) as JsonSchema
const definitionsOf = (schema: JsonSchema): Record<string, JsonSchema> => (schema.$defs ?? {}) as Record<string, JsonSchema>
const referencesIn = (schema: JsonSchema): string[] => [...JSON.stringify(schema).matchAll(/"#\/\$defs\/(\w+)"/g)].map((match) => match[1]!)

/**
 * Turns zod schemas into JSON Schema 2020-12, as OpenAPI 3.1 has it: what has a name is collected in `components` and
 * referred to. What is sent may differ from what comes back (defaults, spellings of time): the sent one is then `…Input`.
 */
export function createSchemas(): { of(schema: z.ZodType, io: Io): JsonSchema; components: Record<string, JsonSchema> } {
  const components: Record<string, JsonSchema> = {}
  const definitions = (io: Io): Record<string, JsonSchema> => definitionsOf(convert(z.object(Object.fromEntries(Object.entries(named).map(([id, [schema]]) => [id, schema]))), io))
  const [inputs, outputs] = [definitions('input'), definitions('output')]
  const differs = (id: string): boolean => JSON.stringify(inputs[id]) !== JSON.stringify(outputs[id]) || referencesIn(inputs[id]!).some(differs)
  const nameOf = (id: string, io: Io): string => (io === 'input' && differs(id) ? `${id}Input` : id)

  const rewrite = (value: unknown, io: Io): unknown => {
    if (Array.isArray(value)) return value.map((item) => rewrite(item, io))
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).filter(([key, v]) => !isNoise(key, v)).map(([key, v]) => [key, key === '$ref' ? refer(String(v).slice('#/$defs/'.length), io) : rewrite(v, io)]))
  }
  const refer = (id: string, io: Io): string => {
    const name = nameOf(id, io)
    if (!(name in components)) {
      components[name] = {}
      components[name] = rewrite((io === 'input' ? inputs : outputs)[id], io) as JsonSchema
    }
    return `#/components/schemas/${name}`
  }
  return {
    components,
    of(schema, io) {
      const meta = registry.get(schema)
      return meta === undefined ? (rewrite(convert(schema, io), io) as JsonSchema) : { $ref: refer(meta.id, io) }
    },
  }
}

/** Bookkeeping of the conversion, and bounds that only say "a number JavaScript can hold". */
function isNoise(key: string, value: unknown): boolean {
  return key === '$schema' || key === '$defs' || (key === 'id' && typeof value === 'string') || value === Number.MAX_SAFE_INTEGER || value === Number.MIN_SAFE_INTEGER
}
