import * as z from 'zod'
import { Envelope } from '../envelope.ts'
import { Digest, FleetId, SiteId } from '../ids.ts'
import { limits } from '../limits.ts'
import { At, contract } from './contract.ts'

/** What an enrolled agent knows of its controller. The secrets in it are the site's alone and are shown once. */
export const Enrolment = z.object({
  fleet: FleetId,
  site: SiteId,
  incarnation: z.int().positive(),
  trust: Envelope,
  /** base64 of the key that seals this site's reports. */
  reportKey: z.base64(),
  /**
   * With `authentication: 'certificate'` the agent asks for one (`certify`) before it connects; absent means a password. `reportPrefix`
   * goes before the `report` topic, and no other, where reports take a way of their own into the broker; absent means nothing.
   */
  broker: z.object({
    url: z.string(), clientId: z.string(), username: z.string(), password: z.string(), authentication: z.enum(['password', 'certificate']).optional(),
    reportPrefix: z.string().max(200).regex(/^(?:[A-Za-z0-9$_-]+\/)+$/, 'must be levels of a topic, each with a slash behind it').optional(),
  }),
})
export type Enrolment = z.infer<typeof Enrolment>

export const agentContracts = {
  enrol: contract({
    id: 'enrol', tag: 'Agents', method: 'post', path: '/v1/enrol', access: 'public', summary: 'Bind a key to a site with a one-time claim', idempotencyKey: false,
    /** `proof` is the agent key's signature over `enrolmentProof(...)`: whoever enrols holds the private key. */
    body: z.strictObject({ site: SiteId, claim: z.string().min(20).max(100), publicKey: z.base64().length(44), proof: z.base64().max(100), agentVersion: z.string().max(64) }),
    response: Enrolment, status: 201,
  }),
  getTrust: contract({ id: 'getTrust', tag: 'Agents', method: 'get', path: '/v1/trust', access: 'public', summary: 'The newest trust.json', response: Envelope }),
  signDownloads: contract({
    id: 'signDownloads', tag: 'Agents', method: 'post', path: '/v1/agent/downloads', access: 'agent', summary: 'Short-lived URLs for objects', idempotencyKey: false,
    body: z.strictObject({ objects: z.array(Digest).min(1).max(limits.downloadsPerRequestMax) }),
    response: z.object({ expiresAt: At, downloads: z.array(z.object({ object: Digest, url: z.string(), headers: z.record(z.string(), z.string()) })) }),
  }),
  getAgentManifest: contract({
    id: 'getAgentManifest', tag: 'Agents', method: 'get', path: '/v1/agent/manifests/{digest}', access: 'agent', summary: 'A signed manifest by its digest, and the object that is its delivery index',
    params: z.strictObject({ digest: Digest }), response: z.object({ envelope: Envelope, index: Digest, indexBytes: z.int() }),
  }),
  renewEnrolment: contract({ id: 'renewEnrolment', tag: 'Agents', method: 'get', path: '/v1/agent/enrolment', access: 'agent', summary: 'The enrolment again, for instance after broker credentials were rotated', response: Enrolment }),
  certify: contract({
    id: 'certify', tag: 'Agents', method: 'post', path: '/v1/agent/certificate', access: 'agent', summary: 'A client certificate for the broker, for a key of the agent; those before it stop working', idempotencyKey: false,
    /** PKCS #10 in PEM. */
    body: z.strictObject({ request: z.string().max(limits.certificateRequestBytesMax).regex(/^-----BEGIN CERTIFICATE REQUEST-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE REQUEST-----\s*$/, 'must be a certificate request in PEM') }),
    /** Both in PEM; `authority` signs the broker's own certificate, null where a public one does. */
    response: z.object({ certificate: z.string(), authority: z.string().nullable() }),
  }),
} as const

/** What an enrolling agent signs: binds its key to this site and this claim. */
export const enrolmentProof = (site: string, claim: string, publicKey: string): string => `murmur enrol v1\n${site}\n${claim}\n${publicKey}`
