import * as z from 'zod'
import { At, contract } from './contract.ts'
import { SignedRequestView } from './releases.ts'

/** `not-checked`: something it rests on failed already, or there is nothing to check here. */
export const linkStates = ['ok', 'warning', 'failing', 'not-checked'] as const

/** What a check found about one link: `detail` says what is, `cure` how to mend it where something is wrong. */
export const LinkCheck = z.object({ link: z.string(), state: z.enum(linkStates), detail: z.string(), cure: z.string().nullable(), tookMs: z.int() })
export type LinkCheck = z.infer<typeof LinkCheck>

export const linkContracts = {
  checkLinks: contract({
    id: 'checkLinks', tag: 'Operations', method: 'post', path: '/v1/links/check', access: 'admin', summary: 'Use every link of the controller once, and say what is wrong with it', idempotencyKey: false,
    /** `download` is a signed request for a small object, for the caller to try from where it is; its bytes have the SHA-256 `sha256`. */
    response: z.object({ time: At, version: z.string(), host: z.enum(['node', 'worker']), checks: z.array(LinkCheck), download: z.object({ request: SignedRequestView, sha256: z.string() }).nullable() }),
  }),
} as const
