import { doubtedKey } from '../ingest/doubt-presence.ts'
import { nextState } from '../rollout/move.ts'
import { epochKey } from './epoch.ts'

/** Why a deployment that was in flight when the backup was taken is `unknown` now. */
export const inFlightWhy = 'it was in flight when the backup was taken'

/**
 * Turns rows that were just loaded from a backup into a controller that does nothing until it has heard its sites (SPEC §8): SQL text
 * for the transaction that loads them. `facts` is a table of one row: epoch, now_ms, backup, taken_ms, request_id.
 */
export function beginAnew(facts: string): string {
  const fact = (name: string): string => `(SELECT ${name} FROM ${facts})`
  const audit = (action: string, entity: string, siteId: string, why: string, from: string): string =>
    `INSERT INTO audit (at_ms, actor, action, entity, site_id, why, detail, request_id) SELECT ${fact('now_ms')}, 'controller', '${action}', ${entity}, ${siteId}, ${why}, '{}', ${fact('request_id')} ${from}`
  const inFlight = `state IN ('granted', 'running')`
  const why = `'the database came back from the backup ' || ${fact('backup')} || ': read the differences, then resume it'`
  const mayStart = `(state IN ('scheduled', 'running') OR (state = 'completed' AND (policy->>'joiners' = 'include' OR EXISTS (SELECT 1 FROM deployment d WHERE d.rollout_id = rollout.id AND d.state IN ('pending', 'parked', 'unknown')))))
    AND NOT EXISTS (SELECT 1 FROM json_each(pauses) WHERE value->>'reason' = 'restored')`
  return [
    `INSERT INTO setting (key, value) SELECT '${epochKey}', json_object('epoch', epoch, 'backup', backup, 'takenMs', taken_ms, 'restoredMs', now_ms) FROM ${facts} WHERE true ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    `INSERT INTO restored_site (site_id, verdict, restored_ms, running, attempt) SELECT id, 'not-heard-yet', ${fact('now_ms')}, running, attempt FROM site WHERE state = 'enrolled'`,
    // nothing is desired until somebody decides anew; a claim may have been used since
    `UPDATE site SET epoch = ${fact('epoch')}, generation = 0, desired = NULL, desired_deployment = NULL, desired_epoch = ${fact('epoch')}, desired_generation = 0,
       presence = CASE state WHEN 'removed' THEN 'offline' ELSE 'unknown' END, connection_id = NULL, claim_hash = NULL, claim_expires_ms = NULL`,
    `INSERT INTO setting (key, value) SELECT '${doubtedKey}', json_object('atMs', now_ms) FROM ${facts} WHERE true ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    // a release of the lost hour may have claimed them: better that the store keeps too much
    'DELETE FROM object_removal',
    audit('deployment.lose', `'rollout/' || rollout_id`, 'site_id', `'${inFlightWhy}'`, `FROM deployment WHERE ${inFlight}`),
    `UPDATE deployment SET state = ${nextState(`'silence'`, ['silence'])}, why = '${inFlightWhy}', deadline_ms = NULL, ended_ms = ${fact('now_ms')}, updated_ms = ${fact('now_ms')} WHERE ${inFlight}`,
    audit('rollout.pause', `'rollout/' || id`, 'NULL', why, `FROM rollout WHERE ${mayStart}`),
    `UPDATE rollout SET pauses = json_insert(pauses, '$[#]', json_object('reason', 'restored', 'detail', ${why})), version = version + 1 WHERE ${mayStart}`,
    audit('controller.restored', `'backup/' || ${fact('backup')}`, 'NULL', `'a new database was made from it, in epoch ' || ${fact('epoch')}`, ''),
  ].join(';\n')
}
