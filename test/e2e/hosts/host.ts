import type { Client } from '../../../cli/client.ts'
import type { FleetId } from '../../../protocol/ids.ts'
import type { TestKey } from '../../support/controller.ts'
import type { Mosquitto } from '../../support/start-mosquitto.ts'

export type HostName = 'node' | 'worker'

/** What a host is given: a directory of its own, the broker, and settings besides those that every test needs. */
export type HostOptions = { directory: string; fleet: FleetId; broker: Mosquitto; brokerPassword: string; settings?: Record<string, string> }

/** The controller on one of its hosts, every part of it a process of its own, with trust installed. Its schedule runs. */
export type Host = {
  name: HostName
  url: string
  client: Client
  /** Signs releases that the fleet takes. */
  publisher: TestKey
  /** For the message of a failure. */
  programs: readonly { name: string; output: string }[]
  /** Ends the controller without warning; its database and broker stay. */
  kill(): Promise<void>
  /** Starts it again after `kill`, and resolves once it answers. */
  start(): Promise<void>
  stop(): Promise<void>
}
