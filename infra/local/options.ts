import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

export type StartOptions = {
  sites: number
  regions: number
  /** Nodes of each site; null: two and three by turns. */
  nodes: number | null
  port: number
  data: string
  fresh: boolean
  once: boolean
  practiceFleet: boolean
}

export const sitesMax = 1000

export const startHelp = `npm start -- [options]

Starts a whole Murmuration on this machine, everything on the loopback: the controller with its database, object store
and MQTT broker, and a practice fleet of real agents. It publishes two releases, takes the fleet to each of them in waves,
and stays up. Started again, it goes on from where it was.

  --sites N            sites of the practice fleet (12)
  --regions N          regions they lie in (4)
  --nodes N            nodes of each site (2 and 3 by turns)
  --port PORT          port of the HTTP API (8787; 0 takes a free one)
  --data DIR           where everything is kept (.murmur)
  --fresh              forget what is kept there first
  --once               end when both rollouts have ended; status 0 only if every site stands where it should
  --no-practice-fleet  the controller alone
  --help               this text
`

/** A command line that cannot be followed; the message says why. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** What the command line asks for; null when it asks for help. Throws UsageError. */
export function readOptions(args: readonly string[], directory: string): StartOptions | null {
  const { values } = parse(args)
  if (values.help === true) return null
  const count = (name: string, text: string, min: number, max: number): number => {
    const value = Number(text)
    if (!/^\d{1,6}$/.test(text) || value < min || value > max) throw new UsageError(`--${name} must be a number from ${min} to ${max}, not ${text}`)
    return value
  }
  const sites = count('sites', values.sites ?? '12', 1, sitesMax)
  return {
    sites,
    regions: count('regions', values.regions ?? String(Math.min(4, sites)), 1, 26),
    nodes: values.nodes === undefined ? null : count('nodes', values.nodes, 1, 8),
    port: count('port', values.port ?? '8787', 0, 65_535),
    data: resolve(directory, values.data ?? '.murmur'),
    fresh: values.fresh ?? false,
    once: values.once ?? false,
    practiceFleet: !(values['no-practice-fleet'] ?? false),
  }
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: [...args], strict: true, allowPositionals: false,
      options: { 'sites': text, 'regions': text, 'nodes': text, 'port': text, 'data': text, 'fresh': flag, 'once': flag, 'no-practice-fleet': flag, 'help': { ...flag, short: 'h' } },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}
