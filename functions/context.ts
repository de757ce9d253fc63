import type { Database } from '../db/client.ts'
import type { Crypto } from '../protocol/crypto.ts'
import type { Gunzip } from '../protocol/envelope.ts'
import type { FleetId } from '../protocol/ids.ts'
import type { Role } from '../protocol/states.ts'
import type { Broker } from './ports/broker.ts'
import type { Clock } from './ports/clock.ts'
import type { HttpSender } from './ports/http-sender.ts'
import type { Ids } from './ports/ids.ts'
import type { Keys } from './ports/keys.ts'
import type { Log } from './ports/log.ts'
import type { ObjectStore } from './ports/object-store.ts'

/** What a platform gives the functions. Built once per process or isolate; nothing in it remembers anything that matters. */
export type Deps = {
  db: Database
  store: ObjectStore
  broker: Broker
  http: HttpSender
  clock: Clock
  ids: Ids
  keys: Keys
  crypto: Crypto
  gunzip: Gunzip
  log: Log
  config: Config
  /** Lets work go on after the answer was given (`waitUntil` on Workers). Nothing may depend on its end. */
  background(work: Promise<unknown>): void
}

export type Config = {
  fleet: FleetId
  /** How agents and people reach the HTTP API; goes into enrolment lines. */
  publicUrl: string
  /** Version of the controller, for logs and `/healthz`. */
  version: string
  /** Where the functions run: a check of the links says what to mend there. */
  host: 'node' | 'worker'
}

/** Who asks: a token (`token:{name}`), an agent (`site:{id}`, with the incarnation that signed), or the controller itself (`controller`). */
export type Actor = { name: string; role: Role | 'agent' | 'controller'; incarnation?: number }

/** One invocation: its time is fixed when it begins, and everything it does carries its request id. */
export type Ctx = Deps & { nowMs: number; actor: Actor; requestId: string }

export const newContext = (deps: Deps, actor: Actor, requestId: string): Ctx => ({ ...deps, nowMs: deps.clock.nowMs(), actor, requestId })
