/** Versions of the protocol, from the lowest to the highest that somebody speaks (SPEC §3.4). */
export type ProtocolRange = { min: number; max: number }

/** What this controller speaks. */
export const controllerProtocols: ProtocolRange = { min: 1, max: 2 }

/** How an agent stands to a controller: with `too-old` and `too-new` the two have no version in common. */
export const standings = ['ok', 'too-old', 'too-new'] as const
export type Standing = (typeof standings)[number]

export function standingOf(agent: ProtocolRange, controller: ProtocolRange): Standing {
  if (agent.max < controller.min) return 'too-old'
  return agent.min > controller.max ? 'too-new' : 'ok'
}

/** What a site's agent speaks, from the two ends as they are kept: the lower one is missing in a row from before it was, both before the first hello. */
export const protocolsOf = (site: { protocolMin: number | null; protocolMax: number | null }): ProtocolRange | null =>
  site.protocolMax === null ? null : { min: site.protocolMin ?? 1, max: site.protocolMax }

/** In its answers to agents the controller says its highest protocol version with this header: agents send it nothing newer. */
export const protocolHeader = 'murmur-protocol'
