import * as z from 'zod'
import { ReleaseId } from '../ids.ts'
import { releaseStates } from '../states.ts'
import { Span } from '../time.ts'
import { PageQuery, contract } from './contract.ts'

const Judged = z.object({ release: ReleaseId, state: z.enum(releaseStates), why: z.string(), storedBytes: z.int() })
const Amount = z.object({ objects: z.int(), bytes: z.int() })

export const CollectionView = z.object({
  dryRun: z.boolean(),
  /** Releases whose objects go, with the state they were in. */
  collected: z.array(Judged),
  /** Releases that were looked at and stay, and what keeps them. */
  kept: z.array(Judged),
  /** Objects that are of no release any more once those are collected. */
  freed: Amount,
  /** Objects that this call removed from the store, of whichever collection. */
  removed: Amount,
  /** Objects that still wait to be removed, which a job goes on with. */
  removing: z.int(),
  next: z.string().nullable(),
})
export type CollectionView = z.infer<typeof CollectionView>

export const collectionContracts = {
  collectReleases: contract({
    id: 'collectReleases', tag: 'Releases', method: 'post', path: '/v1/releases/collect', access: 'admin', summary: 'Give up the objects of releases that no site runs or could go back to; a dry run unless told otherwise', idempotencyKey: false,
    /** `unusedFor` also takes available releases that nothing was done with for so long, but for the newest of each name. */
    body: z.strictObject({ dryRun: z.boolean().default(true), unusedFor: Span.optional(), cursor: PageQuery.cursor }),
    response: CollectionView,
  }),
} as const
