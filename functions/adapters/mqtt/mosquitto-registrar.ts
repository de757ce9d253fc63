import { fromUtf8, toHex, utf8 } from '../../../protocol/bytes.ts'
import { FleetError } from '../../../protocol/errors.ts'
import { SiteId, type FleetId } from '../../../protocol/ids.ts'
import type { BrokerCredentials } from '../../ports/broker.ts'
import type { Ids } from '../../ports/ids.ts'
import { dynamicSecurityTopic, siteAcls, siteRoleName } from './mosquitto-roles.ts'
import { SubscriptionRefused, subscribeTo, type MqttLink } from './open-connection.ts'

type Command = { command: string } & Record<string, unknown>
type Answer = { command?: string; error?: string; correlationData?: string; data?: { client?: { roles?: { rolename: string }[] } } }

const responses = `${dynamicSecurityTopic}/response`

/** Tells the broker who may connect. */
type BrokerRegistrar = { admit(credentials: BrokerCredentials): Promise<void>; expel(site: string): Promise<void> }

export type MosquittoRegistrarOptions = {
  fleet: FleetId
  ids: Ids
  /** The controller's own user, which no site may be called like. */
  username: string | undefined
  timeoutMs: number
  /** Runs `work` over a connection to the broker; rejects with `unavailable` when there is none to be had. */
  withLink<T>(work: (link: MqttLink) => Promise<T>): Promise<T>
}

/**
 * Tells mosquitto's dynamic-security plugin who may connect: a user and a role per site, the client bound to the user's
 * name. Each command says how things shall be, so that repeating a call, or being killed half-way and repeated, comes to
 * the same end; both calls end the connection the site had. Throws `unavailable` when the broker or its plugin does not
 * answer, `forbidden` when the controller may not hear the plugin, `conflict` where a user of that name is no site's, `internal` with the plugin's own words otherwise.
 */
export function createMosquittoRegistrar(options: MosquittoRegistrarOptions): BrokerRegistrar {
  const { fleet, username } = options
  return {
    async admit({ username: site, clientId, password }) {
      if (site === username) throw new FleetError('conflict', `a site cannot be called ${site}: that is the controller's own user at the broker`, { reason: 'broker-user' })
      const rolename = siteRoleName(site as SiteId)
      const role = { rolename, acls: siteAcls(fleet, site as SiteId) }
      const client = { username: site, clientid: clientId, password, roles: [{ rolename }] }
      // the plugin writes its whole file at each command that changes something: a new site takes two of them
      const [roleIsThere, clientIsThere] = (await tell(options, [{ command: 'createRole', ...role }, { command: 'createClient', ...client }], 'already exists')).map(isError)
      if (clientIsThere && (await isSomebodyElse(options, site))) throw new FleetError('conflict', `a site cannot be called ${site}: the broker has another user of that name`, { reason: 'broker-user' })
      // changing a client ends the connection it had
      await tell(options, [...(roleIsThere ? [{ command: 'modifyRole', ...role }] : []), ...(clientIsThere ? [{ command: 'modifyClient', ...client }] : [])])
    },
    async expel(site) {
      if (site === username || (await isSomebodyElse(options, site))) return
      // the user first: mosquitto 2.0 forgets to take a role that goes from those who have it, and reads what it has freed
      await tell(options, [{ command: 'deleteClient', username: site }, { command: 'deleteRole', rolename: siteRoleName(site as SiteId) }], 'not found')
    },
  }
}

const isError = ({ error }: Answer): boolean => error !== undefined

/** Whether the broker's user of this name is not a site's: an operator, the plugin's admin, a bridge. Those have roles of other names. */
async function isSomebodyElse(options: MosquittoRegistrarOptions, username: string): Promise<boolean> {
  const [answer] = await tell(options, [{ command: 'getClient', username }], 'not found')
  return answer!.data?.client?.roles?.some(({ rolename }) => rolename !== siteRoleName(username as SiteId)) ?? false
}

/** Sends the commands in one message, and returns their answers. An error that says `fine` is none to worry about. */
async function tell(options: MosquittoRegistrarOptions, commands: readonly Command[], fine?: 'already exists' | 'not found'): Promise<Answer[]> {
  if (commands.length === 0) return []
  const call = toHex(options.ids.secret(8))
  const numbered = commands.map((command, i) => ({ ...command, correlationData: `${call}/${i}` }))
  const answers = await options.withLink((link) => ask(link, call, numbered, options.timeoutMs))
  for (const [i, { error }] of answers.entries()) {
    const isFine = error === undefined || (fine !== undefined && error.toLowerCase().includes(fine))
    if (!isFine) throw new FleetError('internal', `mosquitto's dynamic-security plugin refuses ${commands[i]!.command}: ${error}`, { reason: 'broker-registrar' })
  }
  return answers
}

/** The answers in the order of the commands. The plugin answers the asking connection only, and tells the commands apart by `correlationData`. */
async function ask({ client, gone }: MqttLink, call: string, commands: readonly Command[], timeoutMs: number): Promise<Answer[]> {
  const answers = new Map<string, Answer>()
  let done: () => void = () => undefined
  let failed: (error: FleetError) => void = () => undefined
  const answered = new Promise<void>((resolve, reject) => {
    done = resolve
    failed = reject
  })
  const missing = (why: string): FleetError => new FleetError('unavailable', `mosquitto's dynamic-security plugin ${why}`, { reason: 'broker-registrar' })
  const hear = (topic: string, payload: Uint8Array): void => {
    if (topic !== responses) return
    for (const answer of readAnswers(payload)) if (answer.correlationData?.startsWith(`${call}/`)) answers.set(answer.correlationData, answer)
    if (answers.size === commands.length) done()
  }
  const send = async (): Promise<void> => {
    await subscribeTo(client, [responses])
    await client.publishAsync(dynamicSecurityTopic, utf8(JSON.stringify({ commands })) as Buffer, { qos: 1 })
  }
  client.on('message', hear)
  const timer = setTimeout(() => failed(missing(`did not answer within ${timeoutMs} ms; is it loaded, and may this user publish to ${dynamicSecurityTopic}?`)), timeoutMs)
  void gone.then(() => failed(missing('was lost before it answered')))
  send().catch((error: Error) => failed(error instanceof SubscriptionRefused ? new FleetError('forbidden', error.message, { reason: 'broker-registrar' }) : missing(`was lost before it answered: ${error.message}`)))
  try {
    await answered
    return commands.map((_, i) => answers.get(`${call}/${i}`)!)
  } finally {
    clearTimeout(timer)
    client.off('message', hear)
  }
}

function readAnswers(payload: Uint8Array): Answer[] {
  try {
    const { responses } = JSON.parse(fromUtf8(payload)) as { responses?: Answer[] }
    return Array.isArray(responses) ? responses : []
  } catch {
    return []
  }
}
