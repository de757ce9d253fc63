import { lookup } from 'node:dns/promises'
import { connect, isIP } from 'node:net'
import { connect as connectTls, type PeerCertificate } from 'node:tls'
import { doubtful, failing, tryLink, working, type Finding } from './finding.ts'

const answerMsMax = 5000
const dayMs = 86_400_000
/** Renewal runs well before this; what is nearer to its end was not renewed. */
const certificateDaysMin = 14

/**
 * The way to the controller, step by step up to TLS; ends with the step that fails. `directory` and `root` would be the
 * agents' business: this looks from where the command runs.
 */
export async function lookAtNetwork(url: URL, nowMs: () => number): Promise<Finding[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  const steps = [() => lookAtName(host, nowMs), () => lookAtPort(host, port, nowMs), () => (url.protocol === 'https:' ? lookAtTls(host, port, nowMs) : lookAtPlain(host, nowMs))]
  const findings: Finding[] = []
  for (const step of steps) {
    const finding = await step()
    findings.push(finding)
    if (finding.state === 'failing') break
  }
  return findings
}

const lookAtName = (host: string, nowMs: () => number): Promise<Finding> =>
  tryLink(nowMs, 'dns', 'see whether the name in --url is right, and whether its record is published where this machine asks', async () => {
    if (isIP(host) !== 0) return working(`${host} is an address already`)
    const found = await lookup(host, { all: true })
    return working(`${host} is ${found.map(({ address }) => address).join(', ')}`)
  })

const lookAtPort = (host: string, port: number, nowMs: () => number): Promise<Finding> =>
  tryLink(nowMs, 'tcp', 'see whether the controller runs and listens there, and whether a firewall is in between', async () => {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port, timeout: answerMsMax }, () => {
        socket.destroy()
        resolve()
      })
      socket.once('timeout', () => socket.destroy(new Error(`nobody answered within ${answerMsMax / 1000} s`)))
      socket.once('error', reject)
    })
    return working(`${host} takes connections at port ${port}`)
  })

const lookAtPlain = (host: string, nowMs: () => number): Promise<Finding> =>
  tryLink(nowMs, 'tls', '', async () =>
    /^(localhost|127\.|::1$)/.test(host) ? working('not needed on one machine') : doubtful('there is none: tokens travel readable for everybody on the way', 'put a reverse proxy with a certificate before the controller, and name it in MURMUR_PUBLIC_URL'),
  )

const lookAtTls = (host: string, port: number, nowMs: () => number): Promise<Finding> =>
  tryLink(nowMs, 'tls', 'see whether a TLS server listens at this port', async () => {
    const { certificate, error } = await handshake(host, port)
    const endMs = Date.parse(certificate.valid_to)
    const days = Math.floor((endMs - nowMs()) / dayMs)
    const renew = 'renew the certificate, and see why it is not renewed by itself'
    if (days < 0) return failing(`the certificate ended on ${certificate.valid_to}`, renew)
    if (error === 'ERR_TLS_CERT_ALTNAME_INVALID') return failing(`the certificate is for ${certificate.subjectaltname ?? certificate.subject.CN}, not for ${host}`, 'name the controller as its certificate does, or have one made for this name')
    if (error !== null) return failing(`nobody trusts the certificate: ${error}`, 'serve the whole chain; for an authority of your own set NODE_EXTRA_CA_CERTS here, and in /etc/murmur-agent.env at the sites')
    if (days < certificateDaysMin) return doubtful(`the certificate ends in ${days} days`, renew)
    return working(`the certificate is valid for ${host} and another ${days} days`)
  })

/** What the server shows of itself, also when it is not to be believed: the reason is to be told. */
function handshake(host: string, port: number): Promise<{ certificate: PeerCertificate; error: string | null }> {
  return new Promise((resolve, reject) => {
    const name = isIP(host) === 0 ? { servername: host } : {}
    const socket = connectTls({ host, port, ...name, rejectUnauthorized: false, timeout: answerMsMax }, () => {
      const error = socket.authorizationError as Error | string | undefined
      resolve({ certificate: socket.getPeerCertificate(), error: socket.authorized || error === undefined ? null : typeof error === 'string' ? error : ((error as NodeJS.ErrnoException).code ?? error.message) })
      socket.destroy()
    })
    socket.once('timeout', () => socket.destroy(new Error(`no handshake within ${answerMsMax / 1000} s`)))
    socket.once('error', reject)
  })
}
