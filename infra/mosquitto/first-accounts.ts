import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { controllerAcls, siteAcls, siteRoleName } from '../../functions/adapters/mqtt/mosquitto-roles.ts'
import type { FleetId, SiteId } from '../../protocol/ids.ts'

export type SiteAccount = { site: SiteId; password: string }

/** What mosquitto makes a password with by default. It need not be slow: these passwords are 256 bits of chance. */
const iterations = 101
const controllerRole = 'controller'

/**
 * The first `dynamic-security.json`: the controller, who admits the sites from then on, and the sites that are enrolled
 * already. Mosquitto owns the file from its start and writes it anew at each change, so it must be written once only.
 */
export function firstAccounts(fleet: FleetId, controller: { username: string; password: string }, sites: readonly SiteAccount[] = []): string {
  return JSON.stringify({
    defaultACLAccess: { publishClientSend: false, publishClientReceive: false, subscribe: false, unsubscribe: true },
    clients: [
      { username: controller.username, textname: 'the controller, its subscriber and its bridges', ...hashed(controller.password), roles: [{ rolename: controllerRole }] },
      ...sites.map(({ site, password }) => ({ username: site, clientid: site, ...hashed(password), roles: [{ rolename: siteRoleName(site) }] })),
    ],
    roles: [{ rolename: controllerRole, acls: controllerAcls(fleet) }, ...sites.map(({ site }) => ({ rolename: siteRoleName(site), acls: siteAcls(fleet, site) }))],
  }, null, 2)
}

function hashed(password: string): { password: string; salt: string; iterations: number } {
  const salt = randomBytes(12)
  return { password: pbkdf2Sync(password, salt, iterations, 64, 'sha512').toString('base64'), salt: salt.toString('base64'), iterations }
}
