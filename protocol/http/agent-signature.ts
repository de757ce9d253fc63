import { toBase64, toHex, utf8, fromBase64 } from '../bytes.ts'
import type { Crypto } from '../crypto.ts'
import { SiteId } from '../ids.ts'

/**
 * How an agent signs an HTTPS request: `authorization: Murmur-Agent site=…,incarnation=…,time=…,nonce=…,sig=…` with the
 * agent's Ed25519 key over method, path with query, digest of the body, time and nonce. The time bounds a replay; reads are all an agent
 * may ask for, so a replay within that time changes nothing.
 */
export type AgentSignature = { site: SiteId; incarnation: number; timeMs: number; nonce: string; sig: Uint8Array }

const scheme = 'Murmur-Agent'
/** Carries the controller's time on a 401, for an agent whose clock is wrong. */
export const controllerTimeHeader = 'murmur-time-ms'

async function statement(crypto: Crypto, method: string, pathAndQuery: string, body: Uint8Array, s: Omit<AgentSignature, 'sig'>): Promise<Uint8Array> {
  return utf8(['murmur request v1', method.toUpperCase(), pathAndQuery, toHex(await crypto.sha256(body)), s.site, s.incarnation, s.timeMs, s.nonce].join('\n'))
}

/** The value of the `authorization` header. */
export async function signAgentRequest(crypto: Crypto, privateKey: Uint8Array, method: string, pathAndQuery: string, body: Uint8Array, who: Omit<AgentSignature, 'sig'>): Promise<string> {
  const sig = await crypto.sign(privateKey, await statement(crypto, method, pathAndQuery, body, who))
  return `${scheme} site=${who.site},incarnation=${who.incarnation},time=${who.timeMs},nonce=${who.nonce},sig=${toBase64(sig)}`
}

/** The parts of the header, or null when it is not one of these. */
export function parseAgentSignature(header: string): AgentSignature | null {
  const match = /^Murmur-Agent site=([a-z0-9-]{1,63}),incarnation=(\d{1,9}),time=(\d{1,16}),nonce=([0-9a-f]{32}),sig=([A-Za-z0-9+/]{86}==)$/.exec(header)
  if (match === null) return null
  const [, siteText = '', incarnation = '', timeMs = '', nonce = '', sig = ''] = match
  const site = SiteId.safeParse(siteText)
  return site.success ? { site: site.data, incarnation: Number(incarnation), timeMs: Number(timeMs), nonce, sig: fromBase64(sig) } : null
}

/** Whether the signature is right for this request and key; whether its time is near enough is for the caller. */
export async function verifyAgentRequest(crypto: Crypto, publicKey: Uint8Array, method: string, pathAndQuery: string, body: Uint8Array, signature: AgentSignature): Promise<boolean> {
  return crypto.verify(publicKey, await statement(crypto, method, pathAndQuery, body, signature), signature.sig)
}
