import type { Deps } from '../context.ts'

/**
 * Nobody listened for a while, so who was online may not be: they are `unknown` until their hello, which a roll call
 * asks for once this is written. One statement; not a change that an operator or a rollout made, so it leaves no trail.
 */
export async function doubtPresence({ db }: Pick<Deps, 'db'>): Promise<number> {
  const [result] = await db.write([{ sql: "UPDATE site SET presence = 'unknown' WHERE presence = 'online'", args: [] }])
  return result!.rowsAffected
}
