import { DeleteThingCommand } from '@aws-sdk/client-iot'
import type { SiteId } from '../../../protocol/ids.ts'
import type { AwsIotOptions } from './options.ts'
import { findThing, settled, unlessGone, withControlPlane } from './control-plane.ts'
import { thingName } from './names.ts'
import { removeCertificates } from './remove-certificates.ts'

/** Takes a site's certificates and its thing away; no error where they are gone. */
export async function expelThing(options: AwsIotOptions, site: SiteId): Promise<void> {
  const thing = thingName(options.fleet, site)
  await withControlPlane(options, async (client) => {
    if ((await findThing(client, thing)) === null) return
    await removeCertificates(client, options, thing)
    await unlessGone(settled(() => client.send(new DeleteThingCommand({ thingName: thing })), 'InvalidRequestException'))
  })
}
