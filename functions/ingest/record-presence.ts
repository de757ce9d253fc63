import type { Statement } from '../../db/client.ts'
import type { Ctx } from '../context.ts'
import type { Folded } from './fold.ts'

/** A site is online, and is what its newest hello says. */
export function helloStatement(ctx: Ctx, hellos: Folded['hellos']): Statement {
  const rows = JSON.stringify(
    hellos.map(({ site, incarnation, seq, bootId, body }) => [
      site, incarnation, seq, bootId, body.connectionId, body.agentVersion, body.architecture, body.protocol.max, body.clockTrusted ? 1 : 0, body.staged,
      body.held.newest === null ? null : JSON.stringify(body.held.newest), body.protocol.min,
    ]),
  )
  return {
    sql: `UPDATE site SET presence = 'online', hello_seq = j.value->>2, boot_id = j.value->>3, connection_id = j.value->>4, agent_version = j.value->>5, architecture = j.value->>6,
            protocol_max = j.value->>7, clock_trusted = j.value->>8, staged = j.value->>9, held = j.value->>10, protocol_min = j.value->>11, last_seen_ms = ?
          FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.hello_seq < j.value->>2 AND site.state = 'enrolled'`,
    args: [ctx.nowMs, rows],
  }
}

/** A site is online whose words are not understood: what it last said of itself stands. */
export function greetingStatement(ctx: Ctx, greetings: Folded['greetings']): Statement {
  const rows = JSON.stringify(greetings.map(({ site, incarnation, seq, bootId, body }) => [site, incarnation, seq, bootId, body.connectionId, body.agentVersion, body.protocol.min, body.protocol.max]))
  return {
    sql: `UPDATE site SET presence = 'online', hello_seq = j.value->>2, boot_id = j.value->>3, connection_id = j.value->>4, agent_version = j.value->>5, protocol_min = j.value->>6, protocol_max = j.value->>7, last_seen_ms = ?
          FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.hello_seq < j.value->>2 AND site.state = 'enrolled'`,
    args: [ctx.nowMs, rows],
  }
}

/** A goodbye counts only for the connection that said the newest hello (SPEC I10). */
export function goodbyeStatement(goodbyes: Folded['goodbyes']): Statement {
  return {
    sql: `UPDATE site SET presence = 'offline' FROM json_each(?) AS j WHERE site.id = j.value->>0 AND site.incarnation = j.value->>1 AND site.connection_id = j.value->>2 AND site.presence <> 'offline'`,
    args: [JSON.stringify(goodbyes.map((g) => [g.site, g.incarnation, g.connectionId]))],
  }
}
