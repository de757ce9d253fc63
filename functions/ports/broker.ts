/** One message for one site. `key` tells the messages of a batch apart in the answer. */
export type OutgoingMessage = { key: string; topic: string; payload: Uint8Array; retain: boolean }
/** Taken as they are asked for, so that those to come can be made while earlier ones travel. */
export type OutgoingMessages = Iterable<OutgoingMessage> | AsyncIterable<OutgoingMessage>
/**
 * The credentials an agent connects with; made anew at each enrolment. With `authentication: 'certificate'` name and password
 * mean nothing, and the agent asks for a certificate for a key of its own (`Broker.certify`). `reportPrefix` is the broker's.
 */
export type BrokerCredentials = { url: string; clientId: string; username: string; password: string; authentication?: 'password' | 'certificate'; reportPrefix?: string }
/** A client certificate for a site's own key, in PEM, and the authority that signs the broker's own where it is not a public one. */
export type BrokerCertificate = { certificate: string; authority: string | null }

/** What a broker asks before it sends reports here by itself: of which of its destinations this controller is the end, and where to say so. */
export type IngressConfirmation = { arn: string; enableUrl: string }

/** What pushes directives to sites. Delivery is at least once; order within one topic is kept within one call. */
export interface Broker {
  /** How many messages one invocation may publish, where each is a request of its own and the host counts those; absent: as many as there are. */
  readonly messagesMax?: number
  /** What goes before the topic of a report, and of the probe that goes the same way, where the broker takes these in by a way of their own; they arrive without it. Absent: nothing. */
  readonly reportPrefix?: string
  /** Publishes with QoS 1 and returns the keys that the broker has acknowledged; the others are tried again later. */
  publish(messages: OutgoingMessages): Promise<ReadonlySet<string>>
  /** Why the last `publish` could not reach the broker, in its own words or the network's; null when it did. For operators; brokers that cannot say lack this. */
  fault?(): string | null
  /** Makes (or names) the identity of one site at one incarnation; older incarnations lose access. */
  admit(site: string, incarnation: number): Promise<BrokerCredentials>
  /** A certificate for the key in `request` (PKCS #10, PEM), for brokers that know sites by certificates; those before it stop working. Other brokers lack this. */
  certify?(site: string, incarnation: number, request: string): Promise<BrokerCertificate>
  /** Takes a site's access away. */
  expel(site: string): Promise<void>
  /** Says yes to a broker that asks whether it may send its reports here. Throws `forbidden` where it is not this fleet's; brokers that do not ask lack this. */
  confirmIngress?(confirmation: IngressConfirmation): Promise<void>
}
