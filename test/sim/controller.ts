import { GuardLost, openDatabase, statement, type Database, type Statement } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import type { Snapshot } from '../../db/open-snapshot.ts'
import { token } from '../../db/schema/operations.ts'
import { memoryHttpSender } from '../../functions/adapters/memory/memory-http-sender.ts'
import { createMemoryObjectStore } from '../../functions/adapters/memory/memory-object-store.ts'
import { gunzip } from '../../functions/adapters/node/gunzip.ts'
import { hashSecret } from '../../functions/auth/secret.ts'
import { newContext, type Deps } from '../../functions/context.ts'
import { createApp } from '../../functions/http/app.ts'
import { createObjectRoute } from '../../functions/http/object-route.ts'
import { createObjectSigner } from '../../functions/http/sign-object-url.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { createJobs } from '../../functions/jobs.ts'
import { readIndex } from '../../infra/backup/catalogue.ts'
import { takeBackup } from '../../infra/backup/take-backup.ts'
import { restoreDatabase } from '../../infra/restore/restore-database.ts'
import { doubtPresence } from '../../functions/ingest/doubt-presence.ts'
import type { BackupName } from '../../protocol/backup.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { FleetId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { SimBroker } from './broker.ts'
import type { Chaos } from './chaos.ts'
import type { Random } from './random.ts'
import type { SimKey } from './seeded-crypto.ts'
import type { World } from './world.ts'

export const fleet = FleetId.parse('sim')
export const baseUrl = 'https://fleet.sim'
export const storeUrl = 'https://store.sim'
const adminToken = `mm_${'0'.repeat(40)}`
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

const takeMsMax = 60_000

/** What can wait here: releases are confirmed before the sites wake up, nobody reads the audit trail's seals, nobody subscribes, and links do not fail. */
const rareJobs: ReadonlySet<string> = new Set(['seal-audit', 'confirm-releases', 'run-webhooks', 'settle-monitoring', 'watch-links', 'end-shelves', 'settle-alarms', 'expire-alarms', 'announce-alarms', 'pack-metrics'])

/** An invocation that was killed: nothing of it happens any more. */
class Killed extends Error {}
/** Told of each batch that has landed. */
export type Landed = (rowsChanged: number, cause: string) => Promise<void>
/** A planted bug: what is written in place of what production code wanted to write. */
export type Rewrite = (statements: readonly Statement[]) => readonly Statement[]
export type ControllerParts = { world: World; random: Random; chaos: Chaos; broker: SimBroker; crypto: Crypto; fleetKey: SimKey; rewrite?: Rewrite; spoilRestore?: (db: Database) => Promise<unknown>; wrapDeps?: (deps: Deps) => Deps }

/** The real controller over a database in memory, each invocation of which may be slow, fail, or be killed between two batches. */
export class SimController {
  db: Database
  /** How often the database came back from a backup. */
  restores = 0
  readonly store: ReturnType<typeof createMemoryObjectStore>
  onLanded: Landed | null = null
  /** Told when another database has taken the place of the one that was lost, before anybody uses it. */
  onRestored: (() => Promise<void>) | null = null
  private readonly parts: ControllerParts
  private readonly base: Omit<Deps, 'db' | 'background'>
  private app: ReturnType<typeof createApp>
  private readonly objects: ReturnType<typeof createObjectRoute>
  private pumping = false
  /** No scheduled work until then. */
  private awayUntilMs = 0
  private lastWrite: Promise<unknown> = Promise.resolve()

  static async create(parts: ControllerParts): Promise<SimController> {
    const db = await openDatabase(':memory:')
    await migrate(db)
    const row = { id: `tk_${'0'.repeat(26)}`, name: 'operator', role: 'admin' as const, hash: await hashSecret(parts.crypto, adminToken), createdBy: 'sim', createdMs: 0 }
    await db.write([statement(db.orm.insert(token).values(row))])
    return new SimController(parts, db)
  }

  private constructor(parts: ControllerParts, db: Database) {
    this.parts = parts
    this.db = db
    const { world, random, broker, crypto, fleetKey } = parts
    const clock = { nowMs: () => world.nowMs }
    const secret = random.bytes(32)
    const signing = { baseUrl: storeUrl, secret, clock, crypto }
    this.store = createMemoryObjectStore({ crypto, signer: createObjectSigner(signing) })
    const text = (length: number): string => Array.from({ length }, () => alphabet[random.between(0, 31)]).join('')
    const timeText = (nowMs: number): string => Array.from({ length: 10 }, (_, i) => alphabet[Math.floor(nowMs / 32 ** (9 - i)) % 32]).join('')
    this.base = {
      store: this.store, broker, http: memoryHttpSender(), clock, crypto, gunzip,
      ids: { sortable: (nowMs) => timeText(Math.trunc(nowMs)) + text(16), secret: (length) => random.bytes(length) },
      keys: { fleetKey: () => fleetKey, ingestSecret: () => secret },
      log: { write: (level, event, facts) => level === 'error' && world.note(`controller ${event} ${String(facts.error ?? facts.cause ?? '').slice(0, 300)}`) },
      config: { fleet, publicUrl: baseUrl, version: '0.0.0-sim', host: 'node' },
    }
    this.app = createApp(this.depsFor('http', false))
    // the store's own streams go through the event loop of the machine; these do not
    const read = async (key: string, { offset, length }: { offset: number; length: number }) => {
      const bytes = await this.store.get(key, Number.POSITIVE_INFINITY)
      return bytes === null ? null : new Response(bytes.slice(offset, offset + length)).body
    }
    this.objects = createObjectRoute({ store: { ...this.store, read }, secret, clock, crypto })
    broker.onUpward = () => this.wakeBridge(20)
  }

  /** A batch, and a look at what it has made, with no other batch in between. */
  private alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.lastWrite.then(work)
    this.lastWrite = result.catch(() => undefined)
    return result
  }

  /** What one invocation gets: its own view of a database that may fail it. */
  private depsFor(cause: string, mayBeKilled: boolean, life = { killed: false }): Deps {
    const { world, random, chaos, wrapDeps, rewrite } = this.parts
    const real = this.db
    const check = (): void => {
      // whose database was lost ends with it
      life.killed ||= real !== this.db
      if (life.killed) throw new Killed()
    }
    const kill = (kind: string): never => {
      world.fault(kind, cause)
      life.killed = true
      throw new Killed()
    }
    const db: Database = {
      get orm() {
        check()
        if (random.chance(chaos.readFailed)) {
          world.fault('read-failed', cause)
          throw new Error('SQLITE_BUSY: the database is locked')
        }
        return real.orm
      },
      script: real.script,
      close: real.close,
      write: async (statements, guards) => {
        check()
        if (mayBeKilled && random.chance(chaos.killBefore)) kill('killed-before-write')
        if (random.chance(chaos.writeFailed)) {
          world.fault('write-failed', cause)
          throw new Error('SQLITE_BUSY: the database is locked')
        }
        if (guards !== undefined && guards.length > 0 && random.chance(chaos.guardLost)) {
          world.fault('guard-lost', cause)
          throw new GuardLost()
        }
        if (random.chance(chaos.writeSlow)) {
          world.fault('write-slow', cause)
          await world.pause(random.fraction() * 3000)
        }
        if (random.chance(chaos.frozen)) {
          world.fault('frozen', cause)
          await world.pause(random.fraction() * 1_800_000)
        }
        const changed = rewrite === undefined ? statements : rewrite(statements)
        const results = await this.alone(async () => {
          check()
          const landed = await real.write(changed, guards)
          await this.onLanded?.(landed.reduce((sum, result) => sum + result.rowsAffected, 0), cause)
          return landed
        })
        if (mayBeKilled && random.chance(chaos.killAfter)) kill('killed-after-write')
        if (random.chance(chaos.writeUnknown)) {
          world.fault('write-unknown', cause)
          throw new Error('the database landed the batch, and its answer was lost')
        }
        return results
      },
    }
    const { broker } = this.base
    const mortal: Deps['broker'] = {
      admit: (site, incarnation) => broker.admit(site, incarnation),
      expel: (site) => broker.expel(site),
      publish: async (messages) => {
        check()
        const sent = await broker.publish(messages)
        if (mayBeKilled && sent.size > 0 && random.chance(chaos.killAfter)) kill('killed-after-publish')
        return sent
      },
    }
    const log: Deps['log'] = { write: (level, event, facts) => (life.killed ? undefined : this.base.log.write(level, event, facts)) }
    const deps: Deps = { ...this.base, db, log, broker: mortal, background: (work) => void world.track(work).catch(() => undefined) }
    return wrapDeps === undefined ? deps : wrapDeps(deps)
  }

  /** One invocation. A killed one never comes back to whoever started it, so its answer is `killed`. */
  async invoke(cause: string, work: (deps: Deps) => Promise<unknown>): Promise<'done' | 'failed' | 'killed'> {
    const life = { killed: false }
    try {
      await this.parts.world.track(work(this.depsFor(cause, true, life)))
      return life.killed ? 'killed' : 'done'
    } catch (error) {
      if (life.killed) return 'killed'
      this.parts.world.note(`invocation ${cause} failed: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`)
      return 'failed'
    }
  }

  /** An HTTP request, with the whole answer's bytes. */
  async request(request: Request): Promise<{ status: number; headers: Record<string, string>; body: Uint8Array }> {
    return this.parts.world.track((async () => {
      const answer = await (request.url.startsWith(storeUrl) ? this.objects : this.app).fetch(request)
      return { status: answer.status, headers: Object.fromEntries(answer.headers), body: new Uint8Array(await answer.arrayBuffer()) }
    })())
  }

  /** An operator's call; `body` of the answer is parsed JSON, or null. */
  async call(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
    const headers = { authorization: `Bearer ${adminToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    const answer = await this.request(new Request(`${baseUrl}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }))
    const text = new TextDecoder().decode(answer.body)
    return { status: answer.status, body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {} }
  }

  /** The schedule: each job at its own pace, `paceMs` at the fastest; skipped, doubled and overlapping at times. */
  startJobs(paceMs: number): void {
    const { world, random, chaos } = this.parts
    for (const { name, everyMs } of createJobs(this.depsFor('none', false))) {
      const spanMs = rareJobs.has(name) ? Math.max(600_000, everyMs) : Math.max(paceMs, everyMs)
      const run = (): Promise<unknown> => this.invoke(name, (deps) => createJobs(deps).find((job) => job.name === name)!.run())
      const again = (): void => {
        world.after(spanMs, name, again)
        if (world.nowMs < this.awayUntilMs || random.chance(chaos.tickSkipped)) return world.fault('tick-skipped', name)
        const overlapping = random.chance(chaos.ticksOverlap) ? random.between(1, 7) : 0
        if (overlapping > 0) world.fault('tick-overlaps', name)
        for (let i = 0; i <= overlapping; i++) void run()
      }
      world.after(random.fraction() * spanMs, name, again)
    }
  }

  /** What takes reports from the broker to the controller: acknowledged only when taken, so a batch may come again. */
  private wakeBridge(spanMs: number): void {
    if (this.pumping) return
    this.pumping = true
    this.parts.world.after(spanMs, 'bridge', () => void this.pump())
  }

  private async pump(): Promise<void> {
    const { broker, random, world } = this.parts
    const batch = broker.upward.slice(0, random.between(1, limits.ingestBatchMax))
    const take = (): Promise<unknown> => this.invoke('ingest', (deps) => receiveReports(newContext(deps, { name: 'controller', role: 'controller' }, deps.ids.sortable(world.nowMs)), batch))
    // one that does not answer in time may come to it later, beside the next that gets the same
    const result = batch.length === 0 ? 'done' : await Promise.race([take(), world.sleep(takeMsMax)])
    if (result === 'done') {
      const taken = new Set(batch)
      broker.upward.splice(0, broker.upward.length, ...broker.upward.filter((message) => !taken.has(message)))
    }
    this.pumping = false
    if (broker.upward.length > 0) this.wakeBridge(result === 'done' ? 20 : random.fraction() * 15_000)
  }

  /** The bridge was away: nobody knows who is connected, so everybody is asked. */
  async reconnectBridge(): Promise<void> {
    await this.invoke('doubt-presence', doubtPresence)
    this.parts.broker.rollCall()
  }

  /** F48: whatever wakes scheduled work has stopped doing so. */
  stopSchedule(spanMs: number): void {
    this.awayUntilMs = this.parts.world.nowMs + spanMs
  }

  /** `murmur backup`, of one moment between two batches. */
  backUp(): Promise<BackupName> {
    const { world } = this.parts
    const snapshot: Snapshot = {
      rows: async (sql, args = []) => (await this.db.write([{ sql, args }]))[0]!.rows.map((row) => Array.from(row)),
      during: (work) => work,
      close: () => undefined,
    }
    return world.track(this.alone(async () => (await takeBackup({ snapshot, store: this.store, fleet, version: '0.0.0-sim', nowMs: world.nowMs, keep: null })).entry.name))
  }

  /** F58: the database is lost with everything that was under way, and `murmur restore` makes another of a backup. */
  async restore(name: BackupName): Promise<void> {
    const { world } = this.parts
    await world.track(this.alone(async () => {
      const db = await openDatabase(':memory:')
      const { index } = await readIndex(this.store, name)
      await restoreDatabase({ db, store: this.store, name, index, nowMs: world.nowMs, requestId: this.base.ids.sortable(world.nowMs), withoutTokens: false })
      await this.parts.spoilRestore?.(db)
      this.db.close()
      this.db = db
      this.restores++
      await this.onRestored?.()
    }))
    this.app = createApp(this.depsFor('http', false))
  }

  close(): void {
    this.db.close()
  }
}

