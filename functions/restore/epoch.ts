import { eq } from 'drizzle-orm'
import * as z from 'zod'
import { setting } from '../../db/schema/operations.ts'
import { BackupName } from '../../protocol/backup.ts'
import type { Ctx } from '../context.ts'

/** The setting `epoch`: the one this database gives positions in since it came back from a backup. Missing where it never did. */
const RestoredEpoch = z.object({ epoch: z.int().positive(), backup: BackupName, takenMs: z.int(), restoredMs: z.int() })
export type RestoredEpoch = z.infer<typeof RestoredEpoch>

export const epochKey = 'epoch'

/** Reads one row. */
export async function loadEpoch(ctx: Pick<Ctx, 'db'>): Promise<RestoredEpoch | null> {
  const [row] = await ctx.db.orm.select().from(setting).where(eq(setting.key, epochKey))
  return row === undefined ? null : RestoredEpoch.parse(row.value)
}

/** Enrolments of one site between two restores, at most. */
const enrolmentsPerEpoch = 1000

/**
 * The incarnation that the next enrolment begins. After a restore it is above all that were given out after the backup and are
 * forgotten here: whoever was enrolled then stays fenced (F31, F58).
 */
export const nextIncarnation = (incarnation: number, restored: RestoredEpoch | null): number =>
  Math.max(incarnation, (restored?.epoch ?? 0) * enrolmentsPerEpoch) + 1
