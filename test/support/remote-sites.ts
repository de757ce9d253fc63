import type { Database } from '../../db/client.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { ingressContracts } from '../../protocol/http/ingress.ts'
import type { DeploymentId, ReleaseRef, SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { AttemptReport, ReportBody } from '../../protocol/reports.ts'
import { fleet } from './controller.ts'
import { sealedMessage } from './sealed-message.ts'

type RemoteSite = { id: SiteId; seq: number; running: ReleaseRef | null; previous: ReleaseRef | null; attempt: AttemptReport | null }
type Message = { topic: string; payload: Uint8Array }

const ids32 = (n: number): never => n.toString(16).padStart(32, '0') as never

/**
 * Sites without agents, at a controller in another process: their reports are sealed with their own keys and posted as a
 * bridge does it. What they were granted is read from the database.
 */
export class RemoteSites {
  readonly #url: string
  readonly #token: string
  readonly #ingestSecret: Uint8Array
  readonly #db: Database
  readonly sites: ReadonlyMap<string, RemoteSite>

  constructor(options: { url: string; token: string; ingestSecret: Uint8Array; db: Database }, ids: readonly string[]) {
    this.#url = options.url
    this.#token = options.token
    this.#ingestSecret = options.ingestSecret
    this.#db = options.db
    this.sites = new Map(ids.map((id) => [id, { id: id as SiteId, seq: 0, running: null, previous: null, attempt: null }]))
  }

  #site(id: string): RemoteSite {
    const site = this.sites.get(id)
    if (site === undefined) throw new Error(`there is no site ${id} here`)
    return site
  }

  #message(site: RemoteSite, body: ReportBody): Promise<Message> {
    return sealedMessage(this.#ingestSecret, { v: 1, fleet, site: site.id, incarnation: 1, bootId: ids32(1), seq: ++site.seq, sentAtMs: Date.now(), body })
  }

  /** Hellos of these sites, as messages. */
  hellos(ids: Iterable<string>): Promise<Message[]> {
    return Promise.all([...ids].map((id) => {
      const site = this.#site(id)
      const { running, previous, attempt } = site
      return this.#message(site, {
        kind: 'hello', connectionId: ids32(2), agentVersion: '0.0.0-test', protocol: { min: 1, max: 1 }, architecture: 'x86_64', held: { desired: null, newest: null }, trustVersion: 1, clockTrusted: true,
        running, previous, staged: null, attempt, nodes: [],
      })
    }))
  }

  /** Which sites hold a grant that they have not ended, with the release they are to run. Reads the database. */
  async granted(): Promise<{ site: string; deployment: DeploymentId; attempt: number; to: ReleaseRef }[]> {
    const [result] = await this.#db.write([{ sql: `SELECT rollout_id, site_id, attempt, to_release FROM deployment WHERE state IN ('granted', 'running') ORDER BY place`, args: [] }])
    return result!.rows.map((row) => ({ site: String(row.site_id), deployment: `${row.rollout_id}:${row.site_id}` as DeploymentId, attempt: Number(row.attempt), to: JSON.parse(String(row.to_release)) as ReleaseRef }))
  }

  /** Reports that these attempts have started, or how they ended; who succeeds runs what it was to run. */
  progress(grants: readonly Awaited<ReturnType<RemoteSites['granted']>>[number][], outcomeOf: (site: string) => 'started' | 'succeeded' | 'rolled-back'): Promise<Message[]> {
    return Promise.all(grants.map(({ site: id, deployment, attempt, to }) => {
      const site = this.#site(id)
      const outcome = outcomeOf(id)
      const ended = outcome !== 'started'
      if (outcome === 'succeeded') Object.assign(site, { previous: site.running, running: to })
      site.attempt = {
        deployment, attempt, phase: ended ? 'ended' : 'staging', outcome: ended ? outcome : null, fault: outcome === 'rolled-back' ? { code: 'health-check-failed', detail: 'the test says so' } : null,
        nodesDone: ended ? 1 : 0, nodesTotal: 1, bytesDone: 0, bytesTotal: 0, requestId: 'remote-sites',
      }
      return this.#message(site, { kind: 'progress', attempt: site.attempt, running: site.running, previous: site.previous, nodes: [] })
    }))
  }

  /** Posts messages in one batch; resolves with the answer's size in bytes, or rejects where a bridge would try again. */
  async post(messages: readonly Message[]): Promise<number> {
    if (messages.length > limits.ingestBatchMax) throw new Error('more than a batch')
    const body = JSON.stringify({ messages: messages.map(({ topic, payload }) => ({ topic, payload: toBase64(payload) })) })
    const response = await fetch(`${this.#url}${ingressContracts.ingest.path}`, { method: 'POST', headers: { 'authorization': `Bearer ${this.#token}`, 'content-type': 'application/json' }, body })
    const text = await response.text()
    if (!response.ok) throw new Error(`the controller answered ${response.status} to a batch: ${text}`)
    const { refused } = ingressContracts.ingest.response.parse(JSON.parse(text))
    if (refused.length > 0) throw new Error(`reports were refused: ${JSON.stringify(refused)}`)
    return text.length
  }
}
