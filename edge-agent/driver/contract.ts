import type { Component, DriverName } from '../../protocol/manifest.ts'
import type { Host } from '../host/host.ts'
import type { Node } from '../node/node.ts'

/** A component's tree, complete and verified on this site: `path` holds exactly the listing's entries. */
export type StagedTree = { path: string; digest: string }

/**
 * One component on one node, as a driver sees it. `from` is what the running release has under this component's name
 * (null: it is new there); `to` is what the deployment brings (null: the release drops it). Never both null.
 * `stateDirectory` belongs to this component on this node alone, survives until `cleanup`, and is where a driver keeps
 * what it needs to find its way back after the power went.
 */
export type Change = {
  node: Node
  component: string
  from: { component: Component; tree: StagedTree } | null
  to: { component: Component; tree: StagedTree } | null
  stateDirectory: string
  signal: AbortSignal
}

/** `switch`: exactly the old or the new, whatever happens. `converge`: may be in between until it has gone forward or back. */
export type Atomicity = 'switch' | 'converge'
export type Reversible = 'yes' | 'backup' | 'no'

/** What is really there: digest of the tree that is in effect, `null` for nothing, `mixed` for in between. */
export type Observed = { state: 'absent' } | { state: 'present'; digest: string } | { state: 'mixed'; detail: string }

/**
 * The contract of all drivers. Verbs are called in this order by the agent, one at a time per node; each is idempotent:
 * called again after a sudden end (kill, power cut) it carries on or starts anew and ends in the same state.
 *
 * | verb     | does                                                        | after a sudden end inside it                  | on failure          |
 * |----------|-------------------------------------------------------------|-----------------------------------------------|---------------------|
 * | observe  | says what is in effect, from the world, not from memory      | called again                                   | counts as `mixed`   |
 * | stage    | puts bytes where apply needs them; nothing in effect changes | called again, then goes on                     | deployment fails    |
 * | apply    | makes `to` effective                                         | called again (forward) or rollback (back)      | rollback            |
 * | verify   | `to` is what is observed                                     | called again                                   | rollback            |
 * | commit   | forgets the way back; after this only forward                | called again, only forward                     | called again        |
 * | rollback | makes `from` effective, from wherever apply got to           | called again                                   | needs-hands         |
 * | cleanup  | removes leftovers of either way                              | called again                                   | tried again later   |
 *
 * A verb throws DriverError. `rollback` must also work when `apply` was never called.
 */
export interface Driver {
  readonly name: DriverName
  readonly atomicity: Atomicity
  reversible(component: Component): Reversible
  observe(host: Host, change: Change): Promise<Observed>
  stage(host: Host, change: Change): Promise<void>
  apply(host: Host, change: Change): Promise<void>
  verify(host: Host, change: Change): Promise<void>
  commit(host: Host, change: Change): Promise<void>
  rollback(host: Host, change: Change): Promise<void>
  cleanup(host: Host, change: Change): Promise<void>
  /** Where the tree of `to` lies for as long as it is in effect, as a path of the host. Absent where a driver keeps no tree as it came. */
  placed?(host: Host, change: Change): Promise<string>
}

export type DriverVerb = 'observe' | 'stage' | 'apply' | 'verify' | 'commit' | 'rollback' | 'cleanup'

/** A driver's failure: `code` is stable and goes into the report's fault, `detail` is for people. */
export class DriverError extends Error {
  readonly code: string
  constructor(code: string, detail: string, cause?: unknown) {
    super(detail, { cause })
    this.name = 'DriverError'
    this.code = code
  }
}
