import { receiveReports } from '../functions/ingest/receive.ts'
import { limits } from '../protocol/limits.ts'
import type { ProtocolRange } from '../protocol/protocol-versions.ts'
import type { Controller } from '../test/support/controller.ts'
import { enrolSites } from '../test/support/practice-fleet.ts'
import type { PracticeSite } from '../test/support/practice-site.ts'

/** Enrolled sites that have all said hello, in batches. */
export async function enrolOnline(controller: Controller, names: readonly string[], protocol: ProtocolRange = { min: 1, max: 1 }): Promise<Map<string, PracticeSite>> {
  const fleet = await enrolSites(controller, names.map((id) => ({ id, offline: true })))
  const sites = [...fleet.values()]
  for (const site of sites) site.protocol = protocol
  for (let i = 0; i < sites.length; i += limits.ingestBatchMax) {
    const hellos = sites.slice(i, i + limits.ingestBatchMax).map((site) => site.message(site.helloBody()))
    await receiveReports(controller.context(), await Promise.all(hellos))
  }
  return fleet
}
