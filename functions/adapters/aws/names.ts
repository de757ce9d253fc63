import type { FleetId } from '../../../protocol/ids.ts'
import type { UpTopic } from '../../../protocol/topics.ts'

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
/** The topic rule that hands one kind of what sites say to the controller. AWS allows no hyphens in it, and no fleet's name has an underscore. */
export const ruleName = (fleet: FleetId, topic: UpTopic): string => `murmur_${fleet.replaceAll('-', '_')}_${topic}`

/**
 * Basic Ingest: what is published behind this goes straight to the rule of reports, past the message broker, and is no message on AWS's
 * bill. The rule sees the topic without it. Nobody can subscribe there and nothing is kept, so wills and directives stay outside.
 */
export const reportPrefix = (fleet: FleetId): string => `$aws/rules/${ruleName(fleet, 'report')}/`
