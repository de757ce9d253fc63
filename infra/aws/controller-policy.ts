import { iotArn, reportPrefix, thingGroupName, thingName } from '../../functions/adapters/aws/names.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { downTopics, probeTopic, rollCallTopic, siteTopic } from '../../protocol/topics.ts'
import type { PolicyDocument } from './policy-document.ts'
import type { FleetPlace } from './settings.ts'

/** The IAM policy of the controller's user: what its broker adapter calls, as narrow as AWS lets each action be. */
export function controllerPolicy(place: FleetPlace): PolicyDocument {
  const { fleet } = place
  const everySite = '*' as SiteId
  const things = iotArn(place, `thing/${thingName(fleet, everySite)}`)
  const topics = (...names: string[]): string[] => names.map((name) => iotArn(place, `topic/${name}`))
  return {
    Version: '2012-10-17',
    Statement: [
      { Sid: 'Directives', Effect: 'Allow', Action: ['iot:Publish'], Resource: topics(...downTopics.map((topic) => siteTopic(fleet, everySite, topic)), rollCallTopic(fleet), `${reportPrefix(fleet)}${probeTopic(fleet)}`) },
      { Sid: 'Retained', Effect: 'Allow', Action: ['iot:RetainPublish'], Resource: topics(siteTopic(fleet, everySite, 'desired')) },
      { Sid: 'Things', Effect: 'Allow', Action: ['iot:DescribeThing', 'iot:CreateThing', 'iot:UpdateThing', 'iot:DeleteThing'], Resource: [things] },
      { Sid: 'Group', Effect: 'Allow', Action: ['iot:AddThingToThingGroup'], Resource: [things, iotArn(place, `thinggroup/${thingGroupName(fleet)}`)] },
      { Sid: 'Certificates', Effect: 'Allow', Action: ['iot:AttachPolicy', 'iot:DetachPolicy', 'iot:UpdateCertificate', 'iot:DeleteCertificate'], Resource: [iotArn(place, 'cert/*')] },
      // AWS lets these be limited to nothing
      { Sid: 'Unlimited', Effect: 'Allow', Action: ['iot:CreateCertificateFromCsr', 'iot:AttachThingPrincipal', 'iot:DetachThingPrincipal', 'iot:ListThingPrincipals'], Resource: ['*'] },
    ],
  }
}
