import { sql } from 'drizzle-orm'
import type { Ctx } from '../context.ts'
import { loadTrust } from '../auth/trust.ts'
import { doubtful, failing, working, type Check, type Finding } from './finding.ts'

/** What the agents go by: whether what this controller signs and seals would be believed. Reads two rows. */
async function look(ctx: Ctx): Promise<Finding[]> {
  const findings: Finding[] = []
  if (ctx.keys.ingestSecret().length < 32) findings.push(failing('keys', 'the ingest secret is shorter than 32 bytes', 'set one of 32 random bytes, then restart the agents: they fetch their report key anew'))
  const held = await loadTrust(ctx)
  const own = ctx.keys.fleetKey().keyid
  if (held === null) findings.push(failing('keys', 'no trust.json is installed: no site can enrol', 'make one with the root key and install it: `murmur key trust --install`'))
  else if (!held.trust.fleetKeys.some(({ keyid }) => keyid === own)) findings.push(failing('keys', `trust.json ${held.trust.version} does not list this controller's fleet key ${own.slice(0, 12)}…: agents refuse every directive`, 'give the controller the fleet key that is listed, or list this one in a trust.json of a higher version'))
  else if (held.trust.publisherKeys.length === 0) findings.push(doubtful('keys', `trust.json ${held.trust.version} lists no publisher key: nothing can be published`, 'add one: `murmur key trust`'))
  if (ctx.config.host === 'worker' && !(await hasIngestToken(ctx))) findings.push(doubtful('keys', 'no token of the role ingest is in force: nobody can hand reports in', '`murmur token create bridge --role ingest`, for the bridge or the rule of the broker'))
  return findings.length > 0 ? findings : [working('keys', `agents believe the fleet key ${own.slice(0, 12)}… by trust.json ${held!.trust.version}`)]
}

async function hasIngestToken(ctx: Ctx): Promise<boolean> {
  const rows = await ctx.db.orm.all(sql`SELECT 1 FROM token WHERE role = 'ingest' AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > ${ctx.nowMs}) LIMIT 1`)
  return rows.length > 0
}

export const checkKeys: Check = { link: 'keys', cure: 'see what is wrong with the database first', withinMs: 5000, look }
