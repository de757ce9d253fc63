import { FleetId, SiteId } from './ids.ts'

/** What travels from the controller to a site: one topic each, so that a broker's ACL can tell them apart. */
export const downTopics = ['desired', 'grant', 'command'] as const
export type DownTopic = (typeof downTopics)[number]
/** What travels from a site to the controller. */
export const upTopics = ['report', 'presence'] as const
export type UpTopic = (typeof upTopics)[number]

const root = (fleet: FleetId) => `murmur/v1/${fleet}`

/** `murmur/v1/{fleet}/sites/{site}/{topic}` */
export const siteTopic = (fleet: FleetId, site: SiteId, topic: DownTopic | UpTopic): string => `${root(fleet)}/sites/${site}/${topic}`
/** What a site may subscribe to, and may publish to. */
export const siteSubscriptions = (fleet: FleetId, site: SiteId): string[] => [...downTopics.map((topic) => siteTopic(fleet, site, topic)), rollCallTopic(fleet)]
export const sitePublications = (fleet: FleetId, site: SiteId): string[] => upTopics.map((topic) => siteTopic(fleet, site, topic))
/** What the controller's side subscribes to. */
export const controllerSubscriptions = (fleet: FleetId): string[] => upTopics.map((topic) => `${root(fleet)}/sites/+/${topic}`)
/** Asks every agent for a hello, with jitter: sent when whoever listens on the controller's behalf may have missed something. */
export const rollCallTopic = (fleet: FleetId): string => `${root(fleet)}/roll-call`

/**
 * Where the controller's own probe arrives: the `report` topic of a name that no site can have, so that it travels
 * through wildcards, rules, webhooks and bridges exactly as reports do.
 */
export const probeTopic = (fleet: FleetId): string => siteTopic(fleet, '_probe' as SiteId, 'report')

/** The site and kind a report arrived under, or null when the topic is not one of this fleet's. */
export function parseUpTopic(fleet: FleetId, topic: string): { site: SiteId; topic: UpTopic } | null {
  const prefix = `${root(fleet)}/sites/`
  if (!topic.startsWith(prefix)) return null
  const [site, kind, ...rest] = topic.slice(prefix.length).split('/')
  const parsed = SiteId.safeParse(site)
  const up = upTopics.find((t) => t === kind)
  return parsed.success && up !== undefined && rest.length === 0 ? { site: parsed.data, topic: up } : null
}
