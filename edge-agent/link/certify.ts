import { X509Certificate } from 'node:crypto'
import * as z from 'zod'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { agentContracts, type Enrolment } from '../../protocol/http/agent.ts'
import type { Host, MqttTls } from '../host/host.ts'
import { explain, type Log } from '../log.ts'
import type { StatePaths } from '../state-paths.ts'
import { certificateRequest, makeCertificateKey } from './certificate-request.ts'
import type { BrokerAccess } from './connection.ts'
import type { Controller } from './controller.ts'

/** So long before its end a certificate is replaced, but not in the first two thirds of its life. */
const renewAheadMs = 30 * 24 * 3_600_000
/** A broker that is merely away refuses too, as far as one can tell: no new certificate is asked for more often than this. */
const refusedMsMin = 3_600_000
/** How often a connection that lasts looks whether its certificate is due, and how long a new one is left alone: a clock that is far ahead finds each of them due. */
const lookMs = 3_600_000
const restMs = 24 * 3_600_000

/** The site's certificate for its broker, of one incarnation. Readable by its owner only. */
const StoredCertificate = z.strictObject({ v: z.literal(1), incarnation: z.int(), clientId: z.string(), privateKey: z.string(), certificate: z.string(), authority: z.string().nullable(), renewAtMs: z.int() })
type StoredCertificate = z.infer<typeof StoredCertificate>

export interface Certificates {
  /** The certificate to connect with, asked for where there is none and renewed before it ends. Throws where there is none and none can be had. */
  current(clientId: string): Promise<MqttTls>
  /** The one that is here, whether or not it is still good; null where there is none. */
  held(clientId: string): Promise<Pick<StoredCertificate, 'certificate' | 'authority' | 'renewAtMs'> | null>
  /** The broker did not let this site in several times: perhaps it no longer knows the certificate, so the next connection has another if one can be had. */
  refused(): void
  /** Renews what is due although no connection asks for it, for as long as the agent lives. `tell`: there is another now. */
  renewInTime(broker: () => Enrolment['broker'], tell: () => void): Promise<void>
}

/** How to get into the broker of an enrolment, with a certificate where it wants one. */
export async function accessTo({ authentication, reportPrefix: _, ...access }: Enrolment['broker'], certificates: Certificates): Promise<BrokerAccess> {
  return authentication === 'certificate' ? { ...access, tls: await certificates.current(access.clientId) } : access
}

/** The certificates that an enrolment needs to get into its broker, in PEM: the agent's own, which it renews from `renewAtMs` on, and the authority of the broker's. */
export async function ownCertificates({ authentication, clientId }: Enrolment['broker'], certificates: Certificates): Promise<{ name: string; pem: string; renewAtMs: number | null }[]> {
  const held = authentication === 'certificate' ? await certificates.held(clientId) : null
  if (held === null) return []
  const authority = held.authority === null ? [] : [{ name: 'broker-authority', pem: held.authority, renewAtMs: null }]
  return [{ name: 'broker', pem: held.certificate, renewAtMs: held.renewAtMs }, ...authority]
}

/**
 * Client certificates, for brokers that know sites by them. The key never leaves the site. It is stored before the
 * controller hears of it and stays pending until its certificate is stored too, so that a sudden end costs at most another request.
 */
export function createCertificates(parts: { host: Host; controller: Pick<Controller, 'call'>; paths: StatePaths; log: Log; incarnation: number; life: AbortSignal }): Certificates {
  const { host, controller, paths, log, incarnation, life } = parts
  const { files, clock } = host
  let refusedAtMs: number | null = null
  let replace = false

  async function read(clientId: string): Promise<StoredCertificate | null> {
    if ((await files.facts(paths.certificate)) === null) return null
    const stored = StoredCertificate.safeParse(jsonOf(fromUtf8(await files.read(paths.certificate))))
    return stored.success && stored.data.incarnation === incarnation && stored.data.clientId === clientId ? stored.data : null
  }

  async function pendingKey(): Promise<string> {
    if ((await files.facts(paths.pendingCertificateKey)) !== null) return fromUtf8(await files.read(paths.pendingCertificateKey))
    const key = makeCertificateKey()
    await files.writeDurable(paths.pendingCertificateKey, utf8(key), 0o600)
    return key
  }

  async function ask(clientId: string): Promise<StoredCertificate> {
    const privateKey = await pendingKey()
    const { certificate, authority } = await controller.call(agentContracts.certify, { body: { request: certificateRequest(privateKey, clientId) } }, life)
    const stored: StoredCertificate = { v: 1, incarnation, clientId, privateKey, certificate, authority, renewAtMs: renewalOf(new X509Certificate(certificate)) }
    await files.writeDurable(paths.certificate, utf8(JSON.stringify(stored)), 0o600)
    await files.remove(paths.pendingCertificateKey)
    replace = false
    log('info', 'certified', { clientId, renewAt: new Date(stored.renewAtMs).toISOString() })
    return stored
  }

  async function renewed(held: StoredCertificate): Promise<StoredCertificate> {
    try {
      return await ask(held.clientId)
    } catch (error) {
      log('warn', 'certificate-not-renewed', { renewAt: new Date(held.renewAtMs).toISOString(), error: explain(error) })
      return held
    }
  }

  async function renewDue({ authentication, clientId }: Enrolment['broker']): Promise<boolean> {
    const held = authentication === 'certificate' ? await read(clientId).catch(() => null) : null
    return held !== null && held.renewAtMs <= clock.nowMs() && (await renewed(held)) !== held
  }

  return {
    async current(clientId) {
      const held = await read(clientId)
      const good = held === null ? await ask(clientId) : replace || held.renewAtMs <= clock.nowMs() ? await renewed(held) : held
      return { certificate: good.certificate, privateKey: good.privateKey, authority: good.authority }
    },
    held: read,
    refused() {
      const nowMs = clock.monotonicMs()
      if (refusedAtMs !== null && nowMs - refusedAtMs < refusedMsMin) return
      refusedAtMs = nowMs
      replace = true
    },
    async renewInTime(broker, tell) {
      for (let pauseMs = lookMs; ; ) {
        await clock.sleep(pauseMs, life).catch(() => undefined)
        if (life.aborted) return
        const isRenewed = await renewDue(broker())
        if (isRenewed) tell()
        pauseMs = isRenewed ? restMs : lookMs
      }
    },
  }
}

function renewalOf({ validFromDate, validToDate }: X509Certificate): number {
  const [startMs, endMs] = [validFromDate.getTime(), validToDate.getTime()]
  return Math.max(endMs - renewAheadMs, Math.round(startMs + ((endMs - startMs) * 2) / 3))
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
