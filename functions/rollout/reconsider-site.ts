import type { Statement } from '../../db/client.ts'
import { movableBy, nextState } from './move.ts'

const wake = (siteId: string, states: string, nowMs: number): Statement => ({
  sql: `UPDATE rollout SET wake_ms = ?, version = version + 1 WHERE state IN ('running', 'completed') AND id IN (SELECT rollout_id FROM deployment WHERE site_id = ? AND state IN (${states}))`,
  args: [nowMs, siteId],
})

/** A site's windows, freezes, time zone or locks have changed: what waited for them is looked at again at the next tick. */
export const reconsiderSite = (siteId: string, nowMs: number): Statement[] => [
  { sql: `UPDATE deployment SET not_before_ms = 0 WHERE site_id = ? AND state IN ('pending', 'parked') AND (why LIKE 'window: %' OR why LIKE 'freeze: %' OR why LIKE 'locked: %')`, args: [siteId] },
  wake(siteId, `'pending', 'parked'`, nowMs),
]

/** A site was removed: what has not started there never will. */
export const forgetSite = (siteId: string, nowMs: number): Statement[] => [
  wake(siteId, movableBy('skip'), nowMs),
  {
    sql: `UPDATE deployment SET state = ${nextState(`'skip'`)}, why = 'the site was removed', ended_ms = ?, updated_ms = ? WHERE site_id = ? AND state IN (${movableBy('skip')})`,
    args: [nowMs, nowMs, siteId],
  },
]
