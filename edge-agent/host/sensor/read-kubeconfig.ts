import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { ok, refuse, type Result } from '../../../protocol/result.ts'

const textBytesMax = 1024 * 1024
const text = z.string().optional()

const Cluster = z.object({
  server: z.url({ protocol: /^https$/, error: 'must be an https URL' }),
  'certificate-authority': text, 'certificate-authority-data': text, 'tls-server-name': text, 'proxy-url': text, 'insecure-skip-tls-verify': z.boolean().optional(),
})
const User = z.object({ 'client-certificate': text, 'client-certificate-data': text, 'client-key': text, 'client-key-data': text, token: text, tokenFile: text, exec: z.unknown().optional(), 'auth-provider': z.unknown().optional() })
/** As far as it says where Kubernetes is, how to know it, and how to be known there. */
const Kubeconfig = z.object({
  'current-context': z.string(),
  contexts: z.array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) })),
  clusters: z.array(z.object({ name: z.string(), cluster: Cluster })),
  users: z.array(z.object({ name: z.string(), user: User })),
})

/** How to ask a Kubernetes; texts are PEM. `tokenFile` is read anew each time: whoever gives it out replaces it. */
export type KubernetesAccess = {
  server: string
  serverName: string | undefined
  authority: string | undefined
  certificate: string | undefined
  key: string | undefined
  token: string | undefined
  tokenFile: string | undefined
}

function parsed(content: string): unknown {
  try {
    return parse(content)
  } catch {
    return undefined
  }
}

/**
 * What a kubeconfig says of its current context. A refusal where it is none, where it wants a program to be run or the server's
 * certificate not to be checked, neither of which is done, or where a file it names cannot be read. `path` is where it lies: files it names are relative to that.
 */
export async function readKubeconfig(path: string): Promise<Result<KubernetesAccess, string>> {
  const content = await readFile(path, 'utf8').catch(() => null)
  if (content === null) return refuse(`${path} cannot be read`)
  const read = content.length > textBytesMax ? undefined : Kubeconfig.safeParse(parsed(content))
  if (read?.success !== true) return refuse(`${path} is not a kubeconfig: ${read?.error.issues[0]?.path.join('.') ?? ''} ${read?.error.issues[0]?.message ?? 'it is too long'}`)
  const { contexts, clusters, users, 'current-context': current } = read.data
  const context = contexts.find(({ name }) => name === current)?.context
  const cluster = clusters.find(({ name }) => name === context?.cluster)?.cluster
  const user = users.find(({ name }) => name === context?.user)?.user
  if (cluster === undefined || user === undefined) return refuse(`${path}: its current context "${current}" leads nowhere`)
  const unwanted = user.exec !== undefined || user['auth-provider'] !== undefined ? 'it wants a program to be run for its credentials' : cluster['insecure-skip-tls-verify'] === true ? 'it wants the certificate of the server not to be checked' : cluster['proxy-url'] !== undefined ? 'it wants a proxy' : null
  if (unwanted !== null) return refuse(`${path}: ${unwanted}, which the agent does not do`)
  const beside = (name: string): string => resolve(dirname(path), name)
  const pem = async (data: string | undefined, file: string | undefined): Promise<string | undefined> =>
    data !== undefined ? Buffer.from(data, 'base64').toString('utf8') : file === undefined ? undefined : readFile(beside(file), 'utf8')
  try {
    return ok({
      server: cluster.server.replace(/\/+$/, ''), serverName: cluster['tls-server-name'],
      authority: await pem(cluster['certificate-authority-data'], cluster['certificate-authority']),
      certificate: await pem(user['client-certificate-data'], user['client-certificate']),
      key: await pem(user['client-key-data'], user['client-key']),
      token: user.token, tokenFile: user.tokenFile === undefined ? undefined : beside(user.tokenFile),
    })
  } catch (error) {
    return refuse(`${path}: a file it names cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}
