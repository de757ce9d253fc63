import { CreateThingGroupCommand, DescribeThingGroupCommand, type IoTClient } from '@aws-sdk/client-iot'
import { thingGroupName } from '../../functions/adapters/aws/names.ts'
import { nullIfMissing } from './null-if-missing.ts'
import type { Part } from './part.ts'
import type { AccountSettings } from './settings.ts'

/** The group that all things of the fleet are in, for people to find them by. */
export async function thingGroup(client: IoTClient, { fleet }: AccountSettings): Promise<Part> {
  const name = thingGroupName(fleet)
  const held = await nullIfMissing(client.send(new DescribeThingGroupCommand({ thingGroupName: name })))
  return {
    name: `thing group ${name}`, held: held === null ? null : { thingGroupName: held.thingGroupName }, wanted: { thingGroupName: name },
    make: async () => void (await client.send(new CreateThingGroupCommand({ thingGroupName: name, thingGroupProperties: { thingGroupDescription: `Sites of the fleet ${fleet}` } }))),
  }
}
