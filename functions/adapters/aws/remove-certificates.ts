import { DeleteCertificateCommand, DetachPolicyCommand, DetachThingPrincipalCommand, ListThingPrincipalsCommand, UpdateCertificateCommand, type IoTClient } from '@aws-sdk/client-iot'
import type { AwsIotOptions } from './options.ts'
import { isName, settled, unlessGone } from './control-plane.ts'
import { sitePolicyName } from './names.ts'

const pagesMax = 20

/** Takes all certificates of a thing away, but the one to `keep`. Safe to repeat after a sudden end. */
export async function removeCertificates(client: IoTClient, options: AwsIotOptions, thing: string, keep?: string): Promise<void> {
  for (const principal of await principalsOf(client, thing)) {
    if (principal !== keep) await removeCertificate(client, options, thing, principal)
  }
}

async function principalsOf(client: IoTClient, thing: string): Promise<string[]> {
  const found: string[] = []
  let nextToken: string | undefined
  for (let page = 0; page < pagesMax; page++) {
    const answer = await client.send(new ListThingPrincipalsCommand({ thingName: thing, nextToken }))
    found.push(...(answer.principals ?? []))
    nextToken = answer.nextToken
    if (nextToken === undefined) break
  }
  return found
}

/**
 * Inactive first, which ends its access; found by its thing until the last step but one. One that cannot be deleted then
 * is inactive and attached to nothing, which is as good, and is said in the log.
 */
export async function removeCertificate(client: IoTClient, { fleet, log }: AwsIotOptions, thing: string, arn: string): Promise<void> {
  const certificateId = arn.slice(arn.lastIndexOf('/') + 1)
  await unlessGone(client.send(new UpdateCertificateCommand({ certificateId, newStatus: 'INACTIVE' })))
  await unlessGone(client.send(new DetachPolicyCommand({ policyName: sitePolicyName(fleet), target: arn })))
  await unlessGone(client.send(new DetachThingPrincipalCommand({ thingName: thing, principal: arn })))
  try {
    await unlessGone(settled(() => client.send(new DeleteCertificateCommand({ certificateId, forceDelete: true })), 'DeleteConflictException', 'CertificateStateException'))
  } catch (error) {
    if (!isName(error, 'DeleteConflictException', 'CertificateStateException')) throw error
    log.write('warn', 'broker.certificate-left', { certificateId, thing, detail: (error as Error).message })
  }
}
