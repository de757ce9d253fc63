import * as z from 'zod'
import { ok, refuse, type Result } from '../../../protocol/result.ts'
import type { KubernetesFacts } from '../sensors.ts'
import type { KubernetesApi } from './kubernetes-api.ts'

const nodesMax = 256
const podsPerPage = 500
const pagesMax = 4
const reasonCharactersMax = 200
const text = z.string().nullish()
const Name = z.string().max(253)

const Condition = z.object({ type: z.string(), status: z.string(), reason: text, message: text })
const Conditions = z.array(Condition).nullish()
const State = z.object({ waiting: z.object({ reason: text }).nullish(), terminated: z.object({ reason: text, exitCode: z.number().nullish() }).nullish() }).nullish()
const Node = z.object({ metadata: z.object({ name: Name }), status: z.object({ conditions: Conditions }).nullish() })
const Pod = z.object({
  metadata: z.object({ name: Name, namespace: Name }),
  status: z.object({ phase: z.string().max(64).nullish(), reason: text, conditions: Conditions, containerStatuses: z.array(z.object({ ready: z.boolean().nullish(), state: State })).nullish() }).nullish(),
})
const listOf = <T extends z.ZodType>(item: T) => z.object({ metadata: z.object({ continue: text }).nullish(), items: z.array(item) })
const NodeList = listOf(Node)
const PodList = listOf(Pod)

const ready = (conditions: z.infer<typeof Conditions>): z.infer<typeof Condition> | undefined => conditions?.find(({ type }) => type === 'Ready')
/** The first of these that says anything. */
const firstOf = (...texts: (string | null | undefined)[]): string => (texts.find((each) => each !== undefined && each !== null && each !== '') ?? 'no reason given').slice(0, reasonCharactersMax).toWellFormed()

function nodeOf({ metadata, status }: z.infer<typeof Node>): KubernetesFacts['nodes'][number] {
  const condition = ready(status?.conditions)
  const isReady = condition?.status === 'True'
  return { name: metadata.name, ready: isReady, reason: isReady ? '' : firstOf(condition?.message, condition?.reason) }
}

function podOf({ metadata: { name, namespace }, status }: z.infer<typeof Pod>): KubernetesFacts['pods'][number] {
  const phase = status?.phase ?? 'Unknown'
  const condition = ready(status?.conditions)
  const isReady = phase === 'Succeeded' || (phase === 'Running' && condition?.status === 'True')
  const container = status?.containerStatuses?.find((each) => each.ready !== true)?.state
  return { namespace, name, phase, ready: isReady, reason: isReady ? '' : firstOf(container?.waiting?.reason, container?.terminated?.reason, status?.reason, condition?.message, condition?.reason, phase) }
}

/** One page of a list. */
async function page<T>(api: KubernetesApi, path: string, list: z.ZodType<T>): Promise<Result<T, string>> {
  const answer = await api.get(path)
  if (!answer.ok) return answer
  const read = list.safeParse(answer.value)
  return read.success ? ok(read.data) : refuse(`it answers ${path.split('?', 1)[0]!} with something else`)
}

async function podsIn(api: KubernetesApi, namespace: string): Promise<Result<KubernetesFacts['pods'], string>> {
  const pods: KubernetesFacts['pods'] = []
  let next = ''
  for (let read = 0; read < pagesMax; read++) {
    const answer = await page(api, `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?limit=${podsPerPage}${next}`, PodList)
    if (!answer.ok) return answer
    pods.push(...answer.value.items.map(podOf))
    const more = answer.value.metadata?.continue ?? ''
    if (more === '') break
    next = `&continue=${encodeURIComponent(more)}`
  }
  return ok(pods)
}

/** Nodes (256 at most) and the pods of some namespaces (2,000 each at most), as the API server has them. A refusal where one of the questions gets no answer. */
export async function askKubernetes(api: KubernetesApi, namespaces: readonly string[]): Promise<Result<KubernetesFacts, string>> {
  const nodes = await page(api, `/api/v1/nodes?limit=${nodesMax}`, NodeList)
  if (!nodes.ok) return nodes
  const pods = await Promise.all([...new Set(namespaces)].map((namespace) => podsIn(api, namespace)))
  const failed = pods.find((each) => !each.ok)
  if (failed !== undefined) return failed
  return ok({ nodes: nodes.value.items.map(nodeOf), pods: pods.flatMap((each) => (each.ok ? each.value : [])) })
}
