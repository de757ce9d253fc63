import type { Statement } from '../../db/client.ts'

/** Makes rollouts due at the next tick. The version stays: nothing that a decision is made from has changed. */
export const wakeRollouts = (ids: readonly string[], nowMs: number): Statement => ({
  sql: `UPDATE rollout SET wake_ms = ? WHERE id IN (SELECT value FROM json_each(?)) AND coalesce(wake_ms, ?) >= ?`,
  args: [nowMs, JSON.stringify(ids), nowMs, nowMs],
})
