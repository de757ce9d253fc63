import { readdirSync, readFileSync } from 'node:fs'
import { sleep } from '../support/program.ts'
import type { Rig } from './rig.ts'

/** What one invocation of the Worker, background work and all, asked of others: round trips to the database, connections to the broker, messages published. */
export type Cost = { name: string; roundTrips: number; connections: number; published: number; cpuMs: number }

const quietMs = 400
/** What has not come to rest by then never will. */
const restlessMsMax = 60_000
const ticksPerSecond = 100

/** Does one thing at the Worker while nothing else goes on there, and counts until everything it set off, workerd itself too, has come to rest. */
export async function measureInvocation<T>(rig: Rig, name: string, work: () => Promise<T>): Promise<Cost & { result: T }> {
  const { proxy, broker } = rig
  const before = { roundTrips: proxy.count, connections: broker.connections.made, published: broker.messages.length, cpuMs: cpuMsOf(rig) }
  const result = await work()
  const endMs = Date.now() + restlessMsMax
  for (let quietSinceMs = Date.now(), last = -1; Date.now() - quietSinceMs < quietMs; await sleep(20)) {
    if (Date.now() > endMs) throw new Error(`after ${name} the Worker did not come to rest: ${proxy.inFlight} requests to the database and ${broker.connections.open} connections to the broker are open`)
    const now = proxy.count + broker.messages.length + cpuMsOf(rig)
    if (now !== last || proxy.inFlight > 0 || broker.connections.open > 0) quietSinceMs = Date.now()
    last = now
  }
  return {
    name, result, roundTrips: proxy.count - before.roundTrips, connections: broker.connections.made - before.connections, published: broker.messages.length - before.published,
    cpuMs: cpuMsOf(rig) - before.cpuMs,
  }
}

export type Resources = { pid: string; cpuMs: number; residentBytes: number; residentBytesMax: number }

/** The processes of workerd among those that wrangler started (one takes requests in, one runs the Worker): CPU time so far, memory now and at most. */
export function workerdOf(rig: Rig): Resources[] {
  const group = String(rig.worker.program.pid)
  const found = readdirSync('/proc').flatMap((pid) => (/^\d+$/.test(pid) ? (resourcesOf(pid, group) ?? []) : []))
  if (found.length === 0) throw new Error('workerd does not run')
  return found
}

const cpuMsOf = (rig: Rig): number => workerdOf(rig).reduce((sum, { cpuMs }) => sum + cpuMs, 0)

/** Null for a process that is none of workerd's in this group, or is gone. */
function resourcesOf(pid: string, group: string): Resources[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (!stat.includes('(workerd)') || fields[2] !== group) return null
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const bytes = (field: string): number => 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
    return [{ pid, cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond, residentBytes: bytes('VmRSS'), residentBytesMax: bytes('VmHWM') }]
  } catch {
    return null
  }
}
