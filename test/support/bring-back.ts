import { receiveReports } from '../../functions/ingest/receive.ts'
import type { Controller } from './controller.ts'

/** Whatever is published comes back as reports do: the probe, to begin with. */
export function bringBack(controller: Controller): void {
  const { publish } = controller.broker
  controller.broker.publish = async function (messages) {
    const before = this.messages.length
    const keys = await publish.call(this, messages)
    for (const message of this.messages.slice(before)) await receiveReports(controller.context(), [message])
    return keys
  }
}
