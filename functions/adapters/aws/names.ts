import type { FleetId } from '../../../protocol/ids.ts'

/** Where in AWS a fleet's broker is. */
export type AwsPlace = { region: string; account: string }

const isChina = (region: string): boolean => region.startsWith('cn-')
const partitionOf = (region: string): string => (isChina(region) ? 'aws-cn' : region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws')

/** The name of something of AWS IoT that is unique in the world, such as `arn:aws:iot:eu-central-1:123456789012:thing/x`. */
export const iotArn = ({ region, account }: AwsPlace, resource: string): string => `arn:${partitionOf(region)}:iot:${region}:${account}:${resource}`

/** Where the region's control plane answers. */
export const controlPlaneOf = (region: string): string => `https://iot.${region}.amazonaws.com${isChina(region) ? '.cn' : ''}`

/** A site's thing, which is its MQTT client id as well. No name of a fleet or a site has a colon in it. */
export const thingName = (fleet: FleetId, site: string): string => `${fleet}:${site}`
export const thingGroupName = (fleet: FleetId): string => `murmur-${fleet}`
/** What every certificate of the fleet may do. */
export const sitePolicyName = (fleet: FleetId): string => `murmur-${fleet}-site`
