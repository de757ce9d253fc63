import type { FleetId, SiteId } from '../../../protocol/ids.ts'
import { controllerSubscriptions, downTopics, probeTopic, rollCallTopic, sitePublications, siteSubscriptions, siteTopic } from '../../../protocol/topics.ts'

/** One rule of mosquitto's dynamic-security plugin. What no rule allows is denied by the defaults that go with these. */
export type MosquittoAcl = { acltype: 'publishClientSend' | 'publishClientReceive' | 'subscribePattern' | 'subscribeLiteral'; topic: string; allow: true }

const rules = (acltypes: readonly MosquittoAcl['acltype'][], topics: readonly string[]): MosquittoAcl[] =>
  topics.flatMap((topic) => acltypes.map((acltype) => ({ acltype, topic, allow: true as const })))
const hear = ['subscribeLiteral', 'publishClientReceive'] as const
const hearMany = ['subscribePattern', 'publishClientReceive'] as const
const say = ['publishClientSend'] as const

export const dynamicSecurityTopic = '$CONTROL/dynamic-security/v1'

/** A role for each site: the plugin of mosquitto 2.0 puts no names into its rules (`%u` and `%c` are taken literally). */
export const siteRoleName = (site: SiteId): string => `site:${site}`
export const siteAcls = (fleet: FleetId, site: SiteId): MosquittoAcl[] => [...rules(hear, siteSubscriptions(fleet, site)), ...rules(say, sitePublications(fleet, site))]

/** The controller, its subscriber and its bridges: hear every site, write to every site, and say who may connect. */
export function controllerAcls(fleet: FleetId): MosquittoAcl[] {
  const every = '+' as SiteId
  const up = controllerSubscriptions(fleet)
  return [
    ...rules(hearMany, up),
    ...rules(['subscribePattern'], up.map((topic) => `$share/+/${topic}`)),
    ...rules(say, [...downTopics.map((topic) => siteTopic(fleet, every, topic)), rollCallTopic(fleet), probeTopic(fleet), dynamicSecurityTopic]),
    ...rules(hear, [`${dynamicSecurityTopic}/response`]),
  ]
}
