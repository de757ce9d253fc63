import ipaddr from 'ipaddr.js'
import { limits } from '../../protocol/limits.ts'
import { ok, refuse, type Result } from '../../protocol/result.ts'

type Ip = ipaddr.IPv4 | ipaddr.IPv6

/** What an operator lets webhooks reach although it is private: hosts by their exact names, networks by their prefix. */
export type Allowed = { hosts: ReadonlySet<string>; networks: readonly (readonly [Ip, number])[] }
export const nothingAllowed: Allowed = { hosts: new Set(), networks: [] }

/**
 * A URL that may be sent to if its addresses may. `host` is as a resolver wants it: in ASCII, without brackets and without the dot of the root;
 * `literal` where it is an address itself. `onlyAllowed` is why it needs an allowance even where its addresses are public.
 */
export type Destination = { url: URL; host: string; literal: boolean; onlyAllowed: string | null }

/** Where receivers of webhooks listen; anything else is another protocol's. */
const portsOpen = new Set(['', '443', '8443'])
const privateNames = /(?:^|\.)(?:local|localhost|localdomain|internal|intranet|private|corp|home|lan|home\.arpa|onion|test|invalid)$/
/** Where clouds keep the credentials of their machines: never sent to, whatever is allowed. Azure's is in public space, Oracle's in none. */
const metadata = ['169.254.169.254', '169.254.170.2', '100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd20:ce::254'].map((address) => ipaddr.parse(address))
const globalUnicast = ipaddr.IPv6.parse('2000::')
const globalUnicastBits = 3
const ipv4Bytes = 4

/** A list such as `10.20.0.0/16, 192.0.2.7, hooks.example.internal`. Refuses with the entries that are neither. */
export function parseAllowed(text: string): Result<Allowed, string> {
  const entries = text.split(',').map((entry) => entry.trim().toLowerCase()).filter((entry) => entry !== '')
  const isHost = (entry: string): boolean => /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?$/.test(entry) && !/^[\d.]+$/.test(entry)
  const isNetwork = (entry: string): boolean => ipaddr.isValidCIDR(entry) || ipaddr.IPv4.isValidFourPartDecimal(entry) || ipaddr.IPv6.isValid(entry)
  const wrong = entries.filter((entry) => !isNetwork(entry) && !isHost(entry))
  if (wrong.length > 0) return refuse(`neither a network such as 10.20.0.0/16 nor a host name: ${wrong.join(', ')}`)
  const networks = entries.filter(isNetwork).map((entry) => (entry.includes('/') ? ipaddr.parseCIDR(entry) : wholeAddress(ipaddr.parse(entry))))
  return ok({ hosts: new Set(entries.filter((entry) => !isNetwork(entry))), networks })
}

const wholeAddress = (ip: Ip): [Ip, number] => [ip, ip.toByteArray().length * 8]

/** What can be told of a URL without a resolver. Refuses what no allowance makes good: another scheme, a user, a host that is none. */
export function judgeUrl(text: string): Result<Destination, string> {
  if (text.length > limits.webhookUrlMax) return refuse(`a URL has at most ${limits.webhookUrlMax} characters`)
  if (!URL.canParse(text)) return refuse('it is not a URL')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refuse(`it must be https, not ${url.protocol.slice(0, -1)}`)
  if (url.username !== '' || url.password !== '') return refuse('a user or password must not stand in the URL')
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
  const literal = ipaddr.isValid(host)
  if (host === '' || host.endsWith('.') || (!literal && !/[a-z]/.test(host))) return refuse('it has no host')
  return ok({ url, host, literal, onlyAllowed: whatIsUnusual(url, host, literal) })
}

function whatIsUnusual(url: URL, host: string, literal: boolean): string | null {
  if (url.protocol === 'http:') return 'http without TLS'
  if (!portsOpen.has(url.port)) return `port ${url.port}`
  if (literal) return null
  return !host.includes('.') || privateNames.test(host) ? `the name ${host}` : null
}

/**
 * Why a destination may not be sent to, given all that its host resolves to (nothing, where it does not); null when it may. Each address has to be
 * public or allowed: a name with one address outside and one inside is a trap, not a choice.
 */
export function judgeAddresses(to: Destination, addresses: readonly string[], allowed: Allowed): string | null {
  const hostAllowed = allowed.hosts.has(to.host)
  const whyOnlyAllowed = to.onlyAllowed === null ? null : `${to.onlyAllowed} goes only to what MURMUR_WEBHOOK_ALLOW names`
  if (addresses.length === 0 && !hostAllowed) return whyOnlyAllowed
  for (const address of addresses) {
    const ip = ipaddr.isValid(address) ? unwrap(ipaddr.parse(address)) : null
    if (ip === null) return `${address} is not an address`
    if (metadata.some((each) => each.toString() === ip.toString())) return `${ip.toString()} is a cloud's metadata service`
    if (hostAllowed || allowed.networks.some((network) => isWithin(ip, network))) continue
    const kind = kindOf(ip)
    if (kind !== null) return `${ip.toString()} is not public (${kind}), and not in MURMUR_WEBHOOK_ALLOW`
    if (whyOnlyAllowed !== null) return whyOnlyAllowed
  }
  return null
}

/** The IPv4 address inside an IPv6 one that is only another way to write it (mapped, NAT64), else the address itself. */
function unwrap(ip: Ip): Ip {
  if (ip.kind() === 'ipv4') return ip
  const range = ip.range()
  return range === 'ipv4Mapped' || (range === 'rfc6052' && isWithin(ip, [ipaddr.IPv6.parse('64:ff9b::'), 96])) ? new ipaddr.IPv4(ip.toByteArray().slice(-ipv4Bytes)) : ip
}

const isWithin = (ip: Ip, [network, bits]: readonly [Ip, number]): boolean => ip.kind() === network.kind() && ip.match(network, bits)

/** What sort of address it is where it is not a public one. Of IPv6 only global unicast is: this leaves out the IPv4-compatible ones too. */
function kindOf(ip: Ip): string | null {
  const range = ip.range()
  if (range !== 'unicast') return range
  return ip.kind() === 'ipv4' || isWithin(ip, [globalUnicast, globalUnicastBits]) ? null : 'not global'
}
