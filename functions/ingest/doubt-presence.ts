import type { Deps } from '../context.ts'

/** The setting that says since when nobody may have listened. */
export const doubtedKey = 'presence-doubted'

/**
 * Nobody listened for a while, so who was online may not be: they are `unknown` until their hello, which a roll call
 * asks for once this is written, and have some minutes for it from now on. Not a change that an operator or a rollout made, so it leaves no trail.
 */
export async function doubtPresence({ db, clock }: Pick<Deps, 'db' | 'clock'>): Promise<number> {
  const [result] = await db.write([
    { sql: "UPDATE site SET presence = 'unknown' WHERE presence = 'online'", args: [] },
    { sql: 'INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', args: [doubtedKey, JSON.stringify({ atMs: clock.nowMs() })] },
  ])
  return result!.rowsAffected
}
