import { join } from 'node:path'
import type { Labels } from '../../protocol/labels.ts'

/** One site of the practice fleet before there is anything of it. */
export type PracticeSite = {
  id: string
  labels: Labels
  timeZone: string
  stateDirectory: string
  nodes: { name: string; personality: string; root: string; hasAgent: boolean }[]
}

const regions = [
  ['north', 'Europe/Oslo'], ['south', 'Europe/Rome'], ['east', 'Asia/Tokyo'], ['west', 'America/Denver'],
  ['coast', 'America/Lima'], ['delta', 'Africa/Cairo'], ['hills', 'Asia/Kolkata'], ['islands', 'Pacific/Auckland'],
] as const

/** The first site is the canary, about a quarter are early, the rest is broad. */
const tierOf = (index: number, sites: number): string => (index === 0 ? 'canary' : index <= Math.max(1, Math.floor(sites / 4)) ? 'early' : 'broad')

/** Sites spread over regions; every site's first node carries its agent. */
export function planFleet(options: { sites: number; regions: number; nodes: number | null; directory: string }): PracticeSite[] {
  const width = String(Math.ceil(options.sites / options.regions)).length
  return Array.from({ length: options.sites }, (_, index) => {
    const place = index % options.regions
    const [name, timeZone] = regions[place % regions.length]!
    const region = place < regions.length ? name : `${name}-${Math.floor(place / regions.length) + 1}`
    const id = `${region}-${String(Math.floor(index / options.regions) + 1).padStart(Math.max(2, width), '0')}`
    const home = join(options.directory, id)
    const nodes = Array.from({ length: options.nodes ?? 2 + (index % 2) }, (_, number) => ({
      name: `node-${number + 1}`, personality: number === 0 ? 'controller' : 'worker', root: join(home, 'nodes', `node-${number + 1}`), hasAgent: number === 0,
    }))
    return { id, labels: { region, tier: tierOf(index, options.sites) }, timeZone, stateDirectory: join(home, 'state'), nodes }
  })
}
