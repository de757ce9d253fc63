import type { SigningKey } from '../../protocol/envelope.ts'

/** The controller's secrets: held by the platform (a Worker secret, a file only its owner reads), never by the database. */
export interface Keys {
  /** Signs directives. */
  fleetKey(): SigningKey
  /** What the sites' report keys and broker passwords are derived from. At least 32 bytes. */
  ingestSecret(): Uint8Array
}
