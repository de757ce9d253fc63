import { AttachPolicyCommand, AttachThingPrincipalCommand, CreateCertificateFromCsrCommand, type IoTClient } from '@aws-sdk/client-iot'
import { FleetError } from '../../../protocol/errors.ts'
import type { SiteId } from '../../../protocol/ids.ts'
import type { BrokerCertificate } from '../../ports/broker.ts'
import type { AwsIotOptions } from './options.ts'
import { findThing, isName, withControlPlane } from './control-plane.ts'
import { sitePolicyName, thingName } from './names.ts'
import { removeCertificate, removeCertificates } from './remove-certificates.ts'

/**
 * A certificate for the key in the request (PKCS #10, PEM) that lets in this site at this incarnation; those before it go
 * once it works. Throws `conflict` for an incarnation that was not admitted, `unprocessable` for a request AWS does not take.
 */
export async function certifyThing(options: AwsIotOptions, site: SiteId, incarnation: number, request: string): Promise<BrokerCertificate> {
  const thing = thingName(options.fleet, site)
  return withControlPlane(options, async (client) => {
    const held = await findThing(client, thing)
    if (held?.attributes.incarnation !== String(incarnation)) throw new FleetError('conflict', 'the broker does not know this incarnation of the site; ask for the enrolment first', { reason: 'not-admitted' })
    const made = await create(client, request)
    try {
      // the thing first: by it a repetition finds what a sudden end left behind
      await client.send(new AttachThingPrincipalCommand({ thingName: thing, principal: made.arn }))
      await client.send(new AttachPolicyCommand({ policyName: sitePolicyName(options.fleet), target: made.arn }))
    } catch (error) {
      // it opens nothing, but perhaps nobody would ever find it again
      await removeCertificate(client, options, thing, made.arn).catch(() => undefined)
      throw error
    }
    await removeCertificates(client, options, thing, made.arn)
    // AWS IoT's own certificate is signed by an authority that every system trusts
    return { certificate: made.pem, authority: null }
  })
}

async function create(client: IoTClient, request: string): Promise<{ arn: string; pem: string }> {
  try {
    const { certificateArn, certificatePem } = await client.send(new CreateCertificateFromCsrCommand({ certificateSigningRequest: request, setAsActive: true }))
    return { arn: certificateArn!, pem: certificatePem! }
  } catch (cause) {
    if (!isName(cause, 'InvalidRequestException')) throw cause
    throw new FleetError('unprocessable', 'AWS IoT does not take this certificate request', { reason: 'certificate-request', cause })
  }
}
