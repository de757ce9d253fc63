import type { Broker, OutgoingMessage } from '../../ports/broker.ts'

/** A broker that keeps what it was given, for tests. `reachable` false makes every call fail as a lost broker does. */
export type MemoryBroker = Broker & {
  messages: OutgoingMessage[]
  /** Incarnation that has access, by site. */
  admitted: Map<string, number>
  reachable: boolean
}

export function memoryBroker(): MemoryBroker {
  const check = (broker: MemoryBroker): void => {
    if (!broker.reachable) throw new Error('the broker does not answer')
  }
  return {
    messages: [],
    admitted: new Map(),
    reachable: true,
    async publish(messages) {
      const keys = new Set<string>()
      if (!this.reachable) return keys
      for await (const message of messages) {
        this.messages.push(message)
        keys.add(message.key)
      }
      return keys
    },
    async admit(site, incarnation) {
      check(this)
      this.admitted.set(site, incarnation)
      return { url: 'mqtt://memory', clientId: site, username: site, password: `${site}/${incarnation}` }
    },
    async expel(site) {
      check(this)
      this.admitted.delete(site)
    },
  }
}
