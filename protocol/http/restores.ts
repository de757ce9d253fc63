import * as z from 'zod'
import { DeploymentId, Digest, ReleaseRef } from '../ids.ts'
import { restoreVerdicts } from '../states.ts'
import { At, PageQuery, contract } from './contract.ts'
import { ReleaseView } from './releases.ts'

const SaidOfSite = { running: ReleaseRef.nullable(), attempt: z.object({ deployment: DeploymentId, attempt: z.int() }).nullable() }

/** One site after a restore: what the backup said, what the site said since, and what follows from that, in words. */
export const DifferenceView = z.object({
  site: z.string(),
  verdict: z.enum(restoreVerdicts),
  why: z.string(),
  /** Null for a site that the backup does not know. */
  backup: z.object(SaidOfSite).nullable(),
  /** Null until it has said hello. `releaseKnown`: whether what it runs is a release of this database. */
  heard: z.object({ at: At.nullable(), ...SaidOfSite, releaseKnown: z.boolean(), trustVersion: z.int().nullable() }).nullable(),
})
export type DifferenceView = z.infer<typeof DifferenceView>

/** Which backup a database came back from. */
export const RestoreView = z.object({ backup: z.string(), takenAt: At, restoredAt: At, epoch: z.int() })
export type RestoreView = z.infer<typeof RestoreView>

export const restoreContracts = {
  listDifferences: contract({
    id: 'listDifferences', tag: 'Operations', method: 'get', path: '/v1/differences', access: 'viewer', summary: 'Where sites differ from the backup that this database came back from',
    query: z.strictObject({ ...PageQuery, verdict: z.enum(restoreVerdicts).optional() }),
    response: z.object({ restore: RestoreView.nullable(), items: z.array(DifferenceView), next: z.string().nullable() }),
  }),
  rememberRelease: contract({
    id: 'rememberRelease', tag: 'Releases', method: 'post', path: '/v1/releases/remember', access: 'operator', summary: 'Announce a release again that only the object store remembers',
    body: z.strictObject({ digest: Digest }), response: ReleaseView,
  }),
} as const
