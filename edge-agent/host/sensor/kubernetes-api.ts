import { readFile, stat } from 'node:fs/promises'
import { Agent, request as requestHttps } from 'node:https'
import { refuse, ok, type Result } from '../../../protocol/result.ts'
import type { Kernel } from './kernel.ts'
import { readKubeconfig, type KubernetesAccess } from './read-kubeconfig.ts'

/** Where kubeadm, k3s and rke2 keep one that may see the whole cluster. */
const usualPaths = ['/etc/kubernetes/admin.conf', '/etc/rancher/k3s/k3s.yaml', '/etc/rancher/rke2/rke2.yaml']
const spanMs = 10_000
const bodyBytesMax = 8 * 1024 * 1024
const connectionsMax = 4
const heldMs = 600_000
/** A connection that nobody has used for so long is closed. */
const idleMs = 150_000
const wordsMax = 200

export interface KubernetesApi {
  /** What a path of the API answers, read as JSON. A refusal says what went wrong instead: nothing came within ten seconds, another status than 200, more than 8 MiB … */
  get(path: string): Promise<Result<unknown, string>>
}

type Held = { path: string; mtimeMs: number; atMs: number; api: Result<KubernetesApi, string> }

/**
 * The Kubernetes of this machine: by the kubeconfig that was named, else by the first of the usual ones. Null where there is none. It is
 * read anew when it was changed, and every ten minutes because files that it names may have been; connections are kept, because saying hello anew costs more than asking.
 */
export function createKubernetes(kernel: Kernel, named: string | null): () => Promise<Result<KubernetesApi, string> | null> {
  let held: Held | null = null
  return async () => {
    for (const each of named === null ? usualPaths : [named]) {
      const path = kernel.at(each)
      const facts = await stat(path).catch(() => null)
      if (facts === null) continue
      if (held?.path !== path || held.mtimeMs !== facts.mtimeMs || !held.api.ok || performance.now() - held.atMs > heldMs) {
        const access = await readKubeconfig(path)
        held = { path, mtimeMs: facts.mtimeMs, atMs: performance.now(), api: access.ok ? open(access.value) : access }
      }
      return held.api
    }
    return named === null ? null : refuse(`${named} is not there`)
  }
}

function open(access: KubernetesAccess): Result<KubernetesApi, string> {
  try {
    // Its own connections: never through the proxy that leads out of the site.
    const agent = new Agent({
      keepAlive: true, maxSockets: connectionsMax, timeout: idleMs, ...(access.authority === undefined ? {} : { ca: access.authority }), ...(access.certificate === undefined ? {} : { cert: access.certificate }),
      ...(access.key === undefined ? {} : { key: access.key }), ...(access.serverName === undefined ? {} : { servername: access.serverName }),
    })
    return ok({ get: (path) => get(access, agent, path).then(ok, (error: unknown) => refuse(explain(error))) })
  } catch (error) {
    return refuse(`its certificate or key cannot be used: ${explain(error)}`)
  }
}

const explain = (error: unknown): string => (error instanceof Error ? error.message || ((error as NodeJS.ErrnoException).code ?? error.name) : String(error)).slice(0, wordsMax)

async function get(access: KubernetesAccess, agent: Agent, path: string): Promise<unknown> {
  const token = access.tokenFile === undefined ? access.token : (await readFile(access.tokenFile, 'utf8')).trim()
  const { status, body } = await receive(`${access.server}${path}`, agent, token)
  if (status !== 200) throw new Error(`it answers with status ${status} ${saidIn(body)}`.trim())
  return jsonIn(body)
}

/** The sentence of a `Status` of Kubernetes. */
function saidIn(body: string): string {
  const [, message = ''] = /"message": *"((?:[^"\\]|\\.){0,150})/.exec(body) ?? []
  return message
}

function jsonIn(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    throw new Error('it answers with something that is not JSON')
  }
}

function receive(url: string, agent: Agent, token: string | undefined): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const late = AbortSignal.timeout(spanMs)
    const request = requestHttps(url, { agent, signal: late, headers: { accept: 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) } })
    const fail = (error: unknown): void => reject(late.aborted ? new Error(`no answer within ${spanMs} ms`) : error)
    request.on('error', fail)
    request.on('response', async (response) => {
      const pieces: Buffer[] = []
      let length = 0
      try {
        for await (const piece of response as AsyncIterable<Buffer>) {
          length += piece.length
          if (length > bodyBytesMax) throw new Error(`it answers with more than ${bodyBytesMax} bytes`)
          pieces.push(piece)
        }
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString('utf8') })
      } catch (error) {
        fail(error)
      }
    })
    request.end()
  })
}
