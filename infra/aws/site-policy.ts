import { iotArn, reportPrefix } from '../../functions/adapters/aws/names.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { rollCallTopic, sitePublications, siteSubscriptions, siteTopic, type DownTopic } from '../../protocol/topics.ts'
import type { PolicyDocument } from './policy-document.ts'
import { UsageError, type FleetPlace } from './settings.ts'

/** How long AWS IoT lets a policy be, without blanks. */
const lengthMax = 2048

/**
 * Variables of the registry, never of what a client says of itself: they have a value only while the certificate is
 * attached to the thing that the client id names, and no thing can be named `+` or `#`.
 */
const thing = '${iot:Connection.Thing.ThingName}'
const site = '${iot:Connection.Thing.Attributes[site]}' as SiteId

/**
 * What a certificate of the fleet may do: connect as its own thing, and use the topics of that thing's site. Nothing of it
 * is retained. Reports go straight to their rule; their plain topic is for agents whose enrolment does not say so yet.
 * Throws UsageError where the fleet's name makes it longer than AWS takes.
 */
export function sitePolicy(place: FleetPlace): PolicyDocument {
  // nothing is received that was not subscribed to, so what is the site's own needs no list a second time
  const receipts = [siteTopic(place.fleet, site, '*' as DownTopic), rollCallTopic(place.fleet)]
  const publications = [...sitePublications(place.fleet, site), `${reportPrefix(place.fleet)}${siteTopic(place.fleet, site, 'report')}`]
  const arns = (kind: 'topic' | 'topicfilter', topics: readonly string[]): string[] => topics.map((topic) => iotArn(place, `${kind}/${topic}`))
  const policy: PolicyDocument = {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: ['iot:Connect'], Resource: [iotArn(place, `client/${thing}`)], Condition: { Bool: { 'iot:Connection.Thing.IsAttached': ['true'] } } },
      { Effect: 'Allow', Action: ['iot:Publish'], Resource: arns('topic', publications) },
      { Effect: 'Allow', Action: ['iot:Subscribe'], Resource: arns('topicfilter', siteSubscriptions(place.fleet, site)) },
      { Effect: 'Allow', Action: ['iot:Receive'], Resource: arns('topic', receipts) },
    ],
  }
  const { length } = JSON.stringify(policy)
  if (length > lengthMax) throw new UsageError(`the name ${place.fleet} is too long for AWS IoT: the policy of its sites has ${length} characters, and AWS takes ${lengthMax}`)
  return policy
}
