import type { SendFault } from '../ports/http-sender.ts'
import { judgeAddresses, judgeUrl, type Allowed, type Destination } from '../webhook/judge-address.ts'

/** All addresses of a host; none where it has none. Rejects where nobody can say. */
export type Resolve = (host: string) => Promise<readonly string[]>
export type Resolved = { ok: true; to: Destination; addresses: readonly string[] } | { ok: false; code: Extract<SendFault['code'], 'forbidden' | 'unresolved'>; detail: string }

/** Where a URL leads now, once it and every address of its host may be sent to. Hosts that are allowed by name are resolved too, so that the address is the one that was looked at. */
export async function resolveDestination(url: string, allowed: Allowed, resolve: Resolve): Promise<Resolved> {
  const judged = judgeUrl(url)
  if (!judged.ok) return { ok: false, code: 'forbidden', detail: judged.refusal }
  const to = judged.value
  const { addresses, fault } = await addressesOf(to, resolve)
  const why = judgeAddresses(to, addresses, allowed)
  if (why !== null) return { ok: false, code: 'forbidden', detail: why }
  if (addresses.length === 0) return { ok: false, code: 'unresolved', detail: fault ?? `${to.host} has no address` }
  return { ok: true, to, addresses }
}

async function addressesOf(to: Destination, resolve: Resolve): Promise<{ addresses: readonly string[]; fault?: string }> {
  if (to.literal) return { addresses: [to.host] }
  try {
    return { addresses: await resolve(to.host) }
  } catch (error) {
    return { addresses: [], fault: `${to.host} could not be resolved: ${error instanceof Error ? error.message : String(error)}` }
  }
}
