import { AddThingToThingGroupCommand, CreateThingCommand, UpdateThingCommand } from '@aws-sdk/client-iot'
import type { SiteId } from '../../../protocol/ids.ts'
import type { BrokerCredentials } from '../../ports/broker.ts'
import type { AwsIotOptions } from './options.ts'
import { findThing, withControlPlane } from './control-plane.ts'
import { reportPrefix, thingGroupName, thingName } from './names.ts'
import { removeCertificates } from './remove-certificates.ts'

const mqttsPort = 8883

/** Sees to it that the site has a thing, and that no certificate of another incarnation opens the broker. */
export async function admitThing(options: AwsIotOptions, site: SiteId, incarnation: number): Promise<BrokerCredentials> {
  const { fleet } = options
  const name = thingName(fleet, site)
  const attributes = { site, incarnation: String(incarnation) }
  await withControlPlane(options, async (client) => {
    const held = await findThing(client, name)
    if (held === null) await client.send(new CreateThingCommand({ thingName: name, attributePayload: { attributes } }))
    else if (held.attributes.incarnation !== attributes.incarnation || held.attributes.site !== site) {
      // before the new incarnation stands there, so that a repetition still finds what is to go
      await removeCertificates(client, options, name)
      await client.send(new UpdateThingCommand({ thingName: name, attributePayload: { attributes, merge: true } }))
    }
    await client.send(new AddThingToThingGroupCommand({ thingName: name, thingGroupName: thingGroupName(fleet) }))
  })
  return { url: `mqtts://${new URL(options.endpoint).hostname}:${mqttsPort}`, clientId: name, username: '', password: '', authentication: 'certificate', reportPrefix: reportPrefix(fleet) }
}
