import { pbkdf2Sync, randomBytes } from 'node:crypto'
import type { FleetId, SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { controllerSubscriptions, rollCallTopic, sitePublications, siteSubscriptions, siteTopic } from '../../protocol/topics.ts'

const iterations = 101

/**
 * `acl_file`: each site reaches the topics that carry its own name, which is its user's name (`%u`). The controller's user
 * hears all sites and writes to each.
 */
export function mosquittoAcl(fleet: FleetId, controllerUser: string): string {
  const user = '%u' as SiteId
  const every = '+' as SiteId
  return [
    `user ${controllerUser}`,
    ...controllerSubscriptions(fleet).map((topic) => `topic read ${topic}`),
    ...(['desired', 'grant', 'command'] as const).map((topic) => `topic write ${siteTopic(fleet, every, topic)}`),
    `topic write ${rollCallTopic(fleet)}`,
    '',
    ...siteSubscriptions(fleet, user).map((topic) => `pattern read ${topic}`),
    ...sitePublications(fleet, user).map((topic) => `pattern write ${topic}`),
    '',
  ].join('\n')
}

/** `password_file`, with the salted hashes that mosquitto 2 reads. The passwords of sites are 256 bits of chance already. */
export function mosquittoPasswords(users: Iterable<readonly [user: string, password: string]>): string {
  const line = (user: string, password: string): string => {
    const salt = randomBytes(12)
    return `${user}:$7$${iterations}$${salt.toString('base64')}$${pbkdf2Sync(password, salt, iterations, 64, 'sha512').toString('base64')}\n`
  }
  return [...users].map(([user, password]) => line(user, password)).join('')
}

/**
 * `mosquitto.conf` for one listener. A site's client id must be its user's name; the controller sees many messages in
 * flight at once; nothing longer than a report may be is taken in.
 */
export function mosquittoConfiguration(options: { listener: string; directory: string; persistence: boolean }): string {
  return [
    `listener ${options.listener}`,
    'allow_anonymous false',
    `password_file ${options.directory}/passwords`,
    `acl_file ${options.directory}/acl`,
    `persistence ${options.persistence}`,
    ...(options.persistence ? ['persistence_location /var/lib/mosquitto/'] : []),
    `message_size_limit ${limits.mqttMessageBytesMax}`,
    `max_inflight_messages ${limits.ingestBatchMax}`,
    'max_queued_messages 100000',
    '',
  ].join('\n')
}
