import { openDatabase } from '../../db/client.ts'
import { openSnapshot } from '../../db/open-snapshot.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { newContext, type Actor, type Deps } from '../../functions/context.ts'
import { createApp } from '../../functions/http/app.ts'
import { readIndex } from '../../infra/backup/catalogue.ts'
import { takeBackup } from '../../infra/backup/take-backup.ts'
import { restoreDatabase } from '../../infra/restore/restore-database.ts'
import type { BackupEntry, BackupName } from '../../protocol/backup.ts'
import { fleet, type Controller } from './controller.ts'
import { PracticeSite } from './practice-site.ts'

/** A backup of a controller's database, which others may be writing, into its own object store. */
export async function backUp(controller: Pick<Controller, 'store' | 'clock'>, databaseUrl: string, keep: number | null = null): Promise<BackupEntry> {
  const snapshot = await openSnapshot(databaseUrl)
  try {
    return (await takeBackup({ snapshot, store: controller.store, fleet, version: '0.0.0-test', nowMs: controller.clock.nowMs(), keep })).entry
  } finally {
    snapshot.close()
  }
}

/** Restores into the database at this URL, which must be empty, with everything `murmur restore` does. */
export async function restoreInto(controller: Pick<Controller, 'store' | 'clock'>, databaseUrl: string, name: BackupName, options: { withoutTokens?: boolean } = {}) {
  const db = await openDatabase(databaseUrl)
  try {
    const nowMs = controller.clock.nowMs()
    const { index } = await readIndex(controller.store, name)
    return await restoreDatabase({ db, store: controller.store, name, index, nowMs, requestId: sortableIds.sortable(nowMs), withoutTokens: options.withoutTokens ?? false })
  } finally {
    db.close()
  }
}

/** The controller that takes over: another database, and the same keys, store, broker and clock. */
export async function takeOver(old: Controller, databaseUrl: string): Promise<Controller> {
  const db = await openDatabase(databaseUrl)
  const deps: Deps = { ...old.deps, db }
  return { ...old, db, deps, app: createApp(deps), context: (actor: Actor = { name: 'controller', role: 'controller' }) => newContext(deps, actor, 'test-request'), close: () => db.close() }
}

/** The same site, which knows nothing of what happened to its controller. */
export function hearAgain(site: PracticeSite, controller: Controller): PracticeSite {
  const { running, previous, held, attempt, incarnation, seq, boot, connection } = site
  return Object.assign(new PracticeSite(controller, site.id), { running, previous, held, attempt, incarnation, seq, boot, connection })
}
