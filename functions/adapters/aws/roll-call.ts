import type { FleetId } from '../../../protocol/ids.ts'
import { rollCallTopic } from '../../../protocol/topics.ts'
import type { Broker } from '../../ports/broker.ts'
import type { Log } from '../../ports/log.ts'
import type { ReportSubscriber } from '../mqtt/batch-reports.ts'
import { pause } from '../pause.ts'

const againMs = { first: 1000, max: 60_000 }

/**
 * Stands where other brokers have somebody who listens: AWS IoT's rule brings the reports over HTTP. What the rule could
 * not deliver while the controller was away is lost, so at its start it asks all agents for a hello, until AWS takes that.
 */
export function createRollCall(options: { broker: Pick<Broker, 'publish'>; fleet: FleetId; log: Log }): ReportSubscriber {
  const { broker, fleet, log } = options
  const stopped = new AbortController()
  const message = { key: 'roll-call', topic: rollCallTopic(fleet), payload: new Uint8Array(0), retain: false }
  return {
    async start() {
      log.write('info', 'subscriber.none', { detail: 'reports come over HTTP, through the rule of AWS IoT' })
      for (let waitMs = againMs.first; !stopped.signal.aborted && (await broker.publish([message])).size === 0; waitMs = Math.min(againMs.max, 2 * waitMs)) await pause(waitMs, stopped.signal)
    },
    async stop() {
      stopped.abort()
    },
  }
}
