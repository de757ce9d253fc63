import { AwsClient } from 'aws4fetch'
import type { OutgoingMessage, OutgoingMessages } from '../../ports/broker.ts'
import type { AwsIotOptions } from './options.ts'
import { pause } from '../pause.ts'

const inFlightMax = 40
const requestMs = 5000
const triesMax = 4
const pauseMs = { base: 100, max: 2000 }
/** Failures in a row after which the endpoint is taken to be away: what is left is not worth the time of this call. */
const failuresMax = 5

/** `refused`: this message can never be taken. `away`: the endpoint did not take it now; `detail` says why. */
type Outcome = { kind: 'acknowledged' } | { kind: 'refused' | 'away'; detail: string }

/**
 * Publishes through AWS IoT's data plane, one signed request for each message and a bounded number at a time. Messages of
 * one topic follow each other; behind one that was not taken none of its topic is sent, so that all go again in their order.
 */
export async function publishOverHttps(options: AwsIotOptions, messages: OutgoingMessages): Promise<ReadonlySet<string>> {
  const { accessKeyId, secretAccessKey, region, log, timeoutMs = 20_000 } = options
  const signer = new AwsClient({ accessKeyId, secretAccessKey, region, service: 'iotdata' })
  const timeUp = AbortSignal.timeout(timeoutMs)
  const acknowledged = new Set<string>()
  const inFlight = new Set<Promise<void>>()
  /** Whether the last message of a topic was taken. */
  const topics = new Map<string, Promise<boolean>>()
  let failures = 0

  async function send(message: OutgoingMessage, before: Promise<boolean> | undefined): Promise<boolean> {
    if (before !== undefined && !(await before)) return false
    const outcome = await sendOne(signer, options.endpoint, message, timeUp)
    if (outcome.kind === 'acknowledged') acknowledged.add(message.key)
    else log.write('warn', outcome.kind === 'away' ? 'broker.unreachable' : 'broker.message-refused', { topic: message.topic, detail: outcome.detail })
    failures = outcome.kind === 'away' ? failures + 1 : 0
    return outcome.kind === 'acknowledged'
  }

  for await (const message of messages) {
    if (inFlight.size >= inFlightMax) await Promise.race(inFlight)
    if (timeUp.aborted || failures >= failuresMax) break
    const taken = send(message, topics.get(message.topic))
    topics.set(message.topic, taken)
    const noted = taken.then(() => void inFlight.delete(noted))
    inFlight.add(noted)
  }
  await Promise.all(inFlight)
  return acknowledged
}

/** One message, tried again a few times where the endpoint is busy or the connection breaks. Never rejects. */
async function sendOne(signer: AwsClient, endpoint: string, { topic, payload, retain }: OutgoingMessage, timeUp: AbortSignal): Promise<Outcome> {
  const url = `${endpoint}/topics/${encodeURIComponent(topic)}?qos=1&retain=${retain}`
  let detail = 'there was no time left'
  for (let tries = 1; tries <= triesMax && !timeUp.aborted; tries++) {
    try {
      const request = await signer.sign(url, { method: 'POST', body: payload as Uint8Array<ArrayBuffer>, headers: { 'content-type': 'application/octet-stream' } })
      const response = await fetch(request, { redirect: 'manual', signal: AbortSignal.any([timeUp, AbortSignal.timeout(requestMs)]) })
      // to its end, so that the connection is free for the next one
      const text = await response.text()
      if (response.ok) return { kind: 'acknowledged' }
      detail = `${response.status} ${text.slice(0, 200)}`
      if (response.status === 400 || response.status === 413) return { kind: 'refused', detail }
      if (response.status < 500 && response.status !== 429) return { kind: 'away', detail }
    } catch (error) {
      detail = error instanceof Error ? `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ''}` : String(error)
    }
    if (tries < triesMax) await pause(Math.random() * Math.min(pauseMs.max, pauseMs.base * 2 ** tries), timeUp)
  }
  return { kind: 'away', detail }
}
