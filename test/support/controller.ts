import { openDatabase, statement, type Database } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { token } from '../../db/schema/operations.ts'
import { memoryBroker, type MemoryBroker } from '../../functions/adapters/memory/memory-broker.ts'
import { memoryHttpSender } from '../../functions/adapters/memory/memory-http-sender.ts'
import { createMemoryObjectStore } from '../../functions/adapters/memory/memory-object-store.ts'
import { gunzip } from '../../functions/adapters/node/gunzip.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { hashSecret } from '../../functions/auth/secret.ts'
import { newContext, type Actor, type Ctx, type Deps } from '../../functions/context.ts'
import { createApp } from '../../functions/http/app.ts'
import { createObjectSigner } from '../../functions/http/sign-object-url.ts'
import { toBase64, utf8 } from '../../protocol/bytes.ts'
import type { KeyPair } from '../../protocol/crypto.ts'
import { keyIdOf, payloadTypes, signEnvelope, type Envelope, type SigningKey } from '../../protocol/envelope.ts'
import type { Contract, ParamsOf, ResponseOf } from '../../protocol/http/contract.ts'
import { contracts, type ContractId } from '../../protocol/http/contracts.ts'
import { FleetId } from '../../protocol/ids.ts'
import { roles, type Role } from '../../protocol/states.ts'
import type { Trust, TrustedKey } from '../../protocol/trust.ts'

export type TestKey = SigningKey & { pair: KeyPair; trusted: TrustedKey }
export type LogLine = { level: string; event: string; facts: Record<string, unknown> }
export type Call<I extends ContractId = ContractId> = {
  as?: Role | null; authorization?: string; params?: Partial<Record<keyof ParamsOf<(typeof contracts)[I]>, string>>; query?: Record<string, string>; body?: unknown; headers?: Record<string, string>
}
/** An answer; `body` is the response on success and a problem otherwise, so a test says which it expects. */
export type Answer<I extends ContractId> = { status: number; headers: Headers; body: (ResponseOf<(typeof contracts)[I]> extends null ? unknown : ResponseOf<(typeof contracts)[I]>) & { [field: string]: any } }

export const fleet = FleetId.parse('practice')

export async function makeKey(name: string): Promise<TestKey> {
  const pair = await nodeCrypto.generateKeyPair()
  const keyid = await keyIdOf(nodeCrypto, pair.publicKey)
  return { keyid, privateKey: pair.privateKey, pair, trusted: { keyid, publicKey: toBase64(pair.publicKey), name } }
}

/** A trust.json signed by `root`. */
export const signTrust = (root: TestKey, trust: Partial<Trust> & Pick<Trust, 'publisherKeys' | 'fleetKeys'>): Promise<Envelope> =>
  signEnvelope(nodeCrypto, payloadTypes.trust, utf8(JSON.stringify({ v: 1, fleet, version: 1, issuedAtMs: 0, rootKey: root.trusted, ...trust })), root)

/** A clock that stands until a test moves it. */
export function testClock(nowMs = Date.UTC(2026, 5, 1, 12)): { nowMs(): number; advance(byMs: number): void } {
  return { nowMs: () => nowMs, advance: (byMs) => void (nowMs += byMs) }
}

export type Controller = Awaited<ReturnType<typeof startController>>

/** A whole controller in memory: real verbs, keys and database (a file where `databaseUrl` names one); `trust: false` leaves trust.json to the test. */
export async function startController(options: { trust?: boolean; databaseUrl?: string } = {}) {
  const db = await openDatabase(options.databaseUrl ?? ':memory:')
  await migrate(db)
  const clock = testClock()
  const [root, publisher, fleetKey] = await Promise.all([makeKey('root'), makeKey('publisher'), makeKey('fleet')])
  const secret = new Uint8Array(32).fill(7)
  const signer = createObjectSigner({ baseUrl: 'http://store.test', secret, clock, crypto: nodeCrypto })
  const store = createMemoryObjectStore({ crypto: nodeCrypto, signer })
  const broker: MemoryBroker = memoryBroker()
  const http = memoryHttpSender()
  const logs: LogLine[] = []
  const background: Promise<unknown>[] = []
  const deps: Deps = {
    db, store, broker, http, clock, ids: sortableIds, crypto: nodeCrypto, gunzip,
    keys: { fleetKey: () => fleetKey, ingestSecret: () => secret },
    log: { write: (level, event, facts) => void logs.push({ level, event, facts }) },
    config: { fleet, publicUrl: 'https://fleet.test', version: '0.0.0-test', host: 'node' },
    background: (work) => void background.push(work),
  }
  const app = createApp(deps)
  const tokens = await makeTokens(db, clock.nowMs())

  async function send(method: string, path: string, init: { authorization?: string; body?: BodyInit; headers?: Record<string, string> } = {}): Promise<Response> {
    const headers = { ...(init.authorization === undefined ? {} : { authorization: init.authorization }), ...init.headers }
    return app.request(`https://fleet.test${path}`, { method, headers, body: init.body })
  }

  /** Calls an operation as a role (admin unless told otherwise), and holds the answer against its contract. */
  async function call<I extends ContractId>(id: I, options: Call<I> = {}): Promise<Answer<I>> {
    const contract: Contract = contracts[id]
    const as = options.as === undefined ? 'admin' : options.as
    const authorization = options.authorization ?? (as === null ? undefined : `Bearer ${tokens[as]}`)
    const body = options.body === undefined ? undefined : JSON.stringify(options.body)
    const response = await send(contract.method.toUpperCase(), pathOf(contract, options), { authorization, body, headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers } })
    const text = await response.text()
    const answer = text === '' ? null : JSON.parse(text)
    if (response.ok && response.status !== 204) checkAnswer(contract, answer)
    return { status: response.status, headers: response.headers, body: answer }
  }

  return {
    app, deps, db, clock, store, broker, http, logs, keys: { root, publisher, fleet: fleetKey }, tokens, send, call,
    context: (actor: Actor = { name: 'controller', role: 'controller' }): Ctx => newContext(deps, actor, 'test-request'),
    signTrust: (trust: Partial<Trust> = {}) => signTrust(root, { publisherKeys: [publisher.trusted], fleetKeys: [fleetKey.trusted], ...trust }),
    async installTrust(trust: Partial<Trust> = {}) {
      return call('putTrust', { body: await this.signTrust(trust) })
    },
    /** Waits for whatever went on after its answer was given. */
    settle: () => Promise.all(background.splice(0)),
    close: () => db.close(),
    ...(options.trust === false ? {} : { rootFingerprint: (await call('putTrust', { body: await signTrust(root, { publisherKeys: [publisher.trusted], fleetKeys: [fleetKey.trusted] }) })).body.rootFingerprint }),
  }
}

async function makeTokens(db: Database, nowMs: number): Promise<Record<Role, string>> {
  const tokens = Object.fromEntries(roles.map((role, i) => [role, `mm_${String(i).repeat(40)}`])) as Record<Role, string>
  for (const role of roles) {
    const row = { id: `tk_${sortableIds.sortable(nowMs)}`, name: role, role, hash: await hashSecret(nodeCrypto, tokens[role]), createdBy: 'test', createdMs: nowMs }
    await db.write([statement(db.orm.insert(token).values(row))])
  }
  return tokens
}

/** The path of a contract with its parameters and query filled in. */
export function pathOf(contract: Contract, call: { params?: Record<string, string | undefined>; query?: Record<string, string> }): string {
  const path = contract.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(call.params?.[name] ?? `no-${name}`))
  const query = new URLSearchParams(call.query).toString()
  return query === '' ? path : `${path}?${query}`
}

/** An answer has what its contract says and nothing else: a field that slipped through may be a secret (F69). */
function checkAnswer(contract: Contract, answer: unknown): void {
  const parsed = contract.response.safeParse(answer)
  if (!parsed.success) throw new Error(`${contract.id} answered what its contract does not allow: ${parsed.error.message}`)
  const [allowed, actual] = [parsed.data, answer].map((value) => JSON.stringify(sortKeys(value)))
  if (allowed !== actual) throw new Error(`${contract.id} answered more than its contract says:\n${actual}\ninstead of\n${allowed}`)
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, v]) => [key, sortKeys(v)]))
}
