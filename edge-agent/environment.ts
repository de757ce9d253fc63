import * as z from 'zod'
import { parseOrThrow } from '../protocol/errors.ts'

const AbsolutePath = z.string().startsWith('/')
const WholeNumber = z.string().regex(/^\d{1,9}$/, 'must be a whole number').transform(Number)
/** What every tool understands by a proxy; an empty one means none. */
const Proxy = z.union([
  z.literal('').transform(() => undefined),
  z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).refine(hasReadableUser, 'has a % in its user or password that is not the beginning of a character written as %XX; write %25 for it'),
]).optional()

function hasReadableUser(proxy: string): boolean {
  try {
    const { username, password } = new URL(proxy)
    return decodeURIComponent(username + password) !== null
  } catch {
    return false
  }
}

/** The environment of an agent: whatever else is in it is not looked at. NODE_EXTRA_CA_CERTS is read by Node itself. */
const Environment = z.object({
  /** Set by the launcher. */
  MURMUR_AGENT_INSTALL: AbsolutePath.optional(),
  MURMUR_AGENT_RUNNING: z.string().regex(/^[0-9a-f]{64}$/, 'must be the digest of a tree').optional(),
  MURMUR_AGENT_LAUNCHER: WholeNumber.optional(),
  /** How many seconds a new version of the agent has to report in. */
  MURMUR_AGENT_TRIAL_S: WholeNumber.pipe(z.int().min(1).max(86_400)).default(300),
  HTTPS_PROXY: Proxy,
  HTTP_PROXY: Proxy,
  NO_PROXY: z.string().default(''),
  /** Node would do as it says, for every connection. */
  NODE_TLS_REJECT_UNAUTHORIZED: z.literal('1', { error: 'must not turn the checking of certificates off; name a private authority in NODE_EXTRA_CA_CERTS' }).optional(),
})
export type Environment = z.infer<typeof Environment>

/** As other tools do: the names in small letters count first. Throws FleetError `bad-request` that lists every fault. */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const given = { ...variables }
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY']) given[name] = variables[name.toLowerCase()] ?? variables[name]
  return parseOrThrow(Environment, given, 'environment')
}
