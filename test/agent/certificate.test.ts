import { execFileSync } from 'node:child_process'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Host, MqttOptions } from '../../edge-agent/host/host.ts'
import { nodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import { createAgent, type Agent } from '../../edge-agent/agent.ts'
import { certificateRequest, makeCertificateKey } from '../../edge-agent/link/certificate-request.ts'
import { createCertificates, type Certificates } from '../../edge-agent/link/certify.ts'
import { enrol } from '../../edge-agent/link/enrol.ts'
import { ControllerError, type Controller } from '../../edge-agent/link/controller.ts'
import { statePaths } from '../../edge-agent/state-paths.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { agentContracts, type Enrolment } from '../../protocol/http/agent.ts'
import { siteTopic } from '../../protocol/topics.ts'
import { FakeController, fleet, piecesOf, site } from '../support/fake-controller.ts'
import { needs } from '../support/needs.ts'
import { startOpenBroker } from '../support/open-broker.ts'
import { quietSensors } from '../support/quiet-sensors.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { cutPowerAfter, SimulatedFiles } from '../support/simulated-files.ts'
import { syncCrypto } from '../support/sync-crypto.ts'
import { localhostKey, untrustedCertificate } from '../support/tls-certificates.ts'
import { startTlsFront } from '../support/tls-front.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const dayMs = 86_400_000
const clientId = 'flock:north'
const paths = statePaths('/state')

const { describe: describeCertified } = needs('openssl')

/** Signs what it is asked to, as a broker's authority would; openssl looks at the request's own signature. */
function createAuthority() {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-certificates-'))
  const at = (name: string): string => join(directory, name)
  writeFileSync(at('ca.pem'), untrustedCertificate)
  writeFileSync(at('ca.key'), localhostKey)
  return {
    sign(request: string, days: number): string {
      writeFileSync(at('request.pem'), request)
      execFileSync('openssl', ['x509', '-req', '-in', at('request.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', String(days), '-out', at('certificate.pem')], { stdio: 'ignore' })
      return readFileSync(at('certificate.pem'), 'utf8')
    },
    remove: () => rmSync(directory, { recursive: true }),
  }
}

describeCertified('the certificate of a site', () => {
  let authority: ReturnType<typeof createAuthority>
  let files: SimulatedFiles
  let clock: VirtualClock
  let requests: string[]
  let days: number
  let reachable: boolean
  let incarnation: number

  beforeEach(async () => {
    authority = createAuthority()
    clock = new VirtualClock(Date.now())
    files = new SimulatedFiles()
    await files.makeDirectory('/state')
    await files.sync('/')
    ;[requests, days, reachable, incarnation] = [[], 9000, true, 1]
  })
  afterEach(() => authority.remove())

  const controller: Pick<Controller, 'call'> = {
    async call(contract, input) {
      expect(contract.id).toBe('certify')
      const { request } = agentContracts.certify.body!.parse(input.body)
      requests.push(request)
      if (!reachable) throw new ControllerError(503, 'broker', 'the broker did not answer', true)
      return contract.response.parse({ certificate: authority.sign(request, days), authority: null }) as never
    },
  }
  /** Another life of the agent on the same disk. */
  const live = (): Certificates => createCertificates({ host: { files, clock } as unknown as Host, controller, paths, log: () => undefined, incarnation, life: new AbortController().signal })
  const fits = ({ certificate, privateKey }: { certificate: string; privateKey: string }): boolean => new X509Certificate(certificate).publicKey.equals(createPublicKey(privateKey))
  const publicKeyIn = (request: string): string => execFileSync('openssl', ['req', '-noout', '-pubkey', '-verify'], { input: request, stdio: ['pipe', 'pipe', 'ignore'] }).toString()

  test('is asked for once, for a key of its own that never leaves it, and kept for its owner only', async () => {
    const first = await live().current(clientId)
    expect(fits(first)).toBe(true)
    expect(new X509Certificate(first.certificate).subject).toBe(`CN=${clientId}`)
    expect(createPublicKey(first.privateKey).asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
    expect(await live().current(clientId)).toEqual(first)
    expect(requests).toHaveLength(1)
    expect(requests[0]).not.toContain('PRIVATE')
    expect((await files.facts(paths.certificate))!.mode).toBe(0o600)
    expect(await files.facts(paths.pendingCertificateKey)).toBeNull()
  })

  test('is renewed a month before its end, and stays in use while that cannot be had', async () => {
    const certificates = live()
    const first = await certificates.current(clientId)
    clock.pass((days - 31) * dayMs)
    expect(await certificates.current(clientId)).toEqual(first)
    clock.pass(2 * dayMs)
    reachable = false
    expect(await certificates.current(clientId)).toEqual(first)
    reachable = true
    const second = await certificates.current(clientId)
    expect(second.certificate).not.toBe(first.certificate)
    expect(second.privateKey).not.toBe(first.privateKey)
    expect(fits(second)).toBe(true)
    // the one that waited in vain had the same key
    expect(publicKeyIn(requests.at(-1)!)).toBe(publicKeyIn(requests.at(-2)!))
  })

  test('that lives a few days only is used for most of them', async () => {
    days = 9
    const certificates = live()
    const first = await certificates.current(clientId)
    clock.pass(5.9 * dayMs)
    expect(await certificates.current(clientId)).toEqual(first)
    clock.pass(0.2 * dayMs)
    expect(await certificates.current(clientId)).not.toEqual(first)
  })

  test('is replaced when the broker refuses it, but not each time a broker is merely away (F42)', async () => {
    const certificates = live()
    const first = await certificates.current(clientId)
    certificates.refused()
    reachable = false
    expect(await certificates.current(clientId)).toEqual(first)
    reachable = true
    const second = await certificates.current(clientId)
    expect(second).not.toEqual(first)
    for (let i = 0; i < 10; i++) {
      certificates.refused()
      expect(await certificates.current(clientId)).toEqual(second)
    }
    clock.pass(3_600_000)
    certificates.refused()
    expect(await certificates.current(clientId)).not.toEqual(second)
  })

  test('is renewed in time although no connection asks for it, again where that failed, and not over and over by a clock that is far ahead', async () => {
    days = 60
    const certificates = live()
    const first = await certificates.current(clientId)
    const broker = (): Enrolment['broker'] => ({ url: 'mqtts://broker.example', clientId, username: '', password: '', authentication: 'certificate' })
    let told = 0
    void certificates.renewInTime(broker, () => (told += 1))
    const pass = async (spanMs: number): Promise<void> => {
      const endMs = clock.nowMs() + spanMs
      void clock.sleep(spanMs)
      await clock.until(() => clock.nowMs() >= endMs, 'the time has passed')
    }
    await pass(39 * dayMs)
    expect([requests.length, told]).toEqual([1, 0])
    reachable = false
    await pass(2 * dayMs)
    expect([requests.length > 2, told]).toEqual([true, 0])
    reachable = true
    await pass(dayMs / 12)
    expect(told).toBe(1)
    expect((await certificates.current(clientId)).certificate).not.toBe(first.certificate)
    clock.pass(20_000 * dayMs)
    const before = requests.length
    await pass(5 * dayMs)
    expect(requests.length - before).toBeLessThanOrEqual(6)
  })

  test('of another incarnation, of another name or damaged is not used', async () => {
    const first = await live().current(clientId)
    expect(await live().current('flock:south')).not.toEqual(first)
    const other = await live().current(clientId)
    incarnation = 2
    const second = await live().current(clientId)
    expect(second).not.toEqual(other)
    await files.write(paths.certificate, utf8('{"v":1'))
    const third = await live().current(clientId)
    expect(fits(third)).toBe(true)
  })

  test('is not made up where it cannot be had', async () => {
    reachable = false
    await expect(live().current(clientId)).rejects.toThrow('the broker did not answer')
    reachable = true
    expect(fits(await live().current(clientId))).toBe(true)
    expect(publicKeyIn(requests[0]!)).toBe(publicKeyIn(requests[1]!))
  })

  test('survives a cut at any call: the old one or the new one is there, and opens with its key (F21)', async () => {
    for (let calls = 0, done = false; !done; calls++) {
      await files.remove('/state')
      await files.makeDirectory('/state')
      await files.sync('/')
      const old = await live().current(clientId)
      requests = []
      const certificates = live()
      certificates.refused()
      files.beforeCall = cutPowerAfter(calls)
      const renewed = await certificates.current(clientId).catch(() => null)
      files.beforeCall = null
      // where the disk fails the old one goes on being used, so the end of the renewal is read off the disk
      done = renewed !== null && renewed.certificate !== old.certificate && (await files.facts(paths.pendingCertificateKey)) === null
      files.crash(seededFractions(calls))
      const asked = requests.length
      const after = await live().current(clientId)
      expect(fits(after), `cut after ${calls}`).toBe(true)
      if (requests.length > asked) throw new Error(`cut after ${calls}: the certificate was lost`)
    }
  })
})

describe('an agent whose broker knows sites by certificates', () => {
  let controller: FakeController
  let clock: VirtualClock
  let host: Host
  let connections: MqttOptions[]
  let refusing: boolean
  let given: string[]
  /** Of everything that was published, in its order. */
  let topics: string[]
  let reportPrefix: string | undefined

  beforeEach(async () => {
    clock = new VirtualClock(Date.now())
    controller = await FakeController.create(() => clock.nowMs())
    const files = new SimulatedFiles()
    await files.makeDirectory('/state')
    ;[connections, refusing, given, topics, reportPrefix] = [[], false, [], [], undefined]
    host = {
      files, clock, random: { bytes: (length) => crypto.getRandomValues(new Uint8Array(length)), fraction: () => 0.5 },
      processes: { run: async () => ({ how: 'not-started', exitCode: null, output: '', outputBytes: 0 }) },
      facts: { architecture: () => 'x86_64', inventory: async () => ({}), clockSynchronised: async () => true },
      sensors: quietSensors,
      network: {
        async http(request) {
          const { pathname } = new URL(request.url)
          if (pathname === '/v1/agent/certificate') {
            given.push(pathname)
            return { status: 200, headers: {}, body: piecesOf(utf8(JSON.stringify({ certificate: untrustedCertificate, authority: 'an authority' }))) }
          }
          const answered = await controller.http(request)
          if (pathname !== '/v1/enrol' && pathname !== '/v1/agent/enrolment') return answered
          const chunks: Uint8Array[] = []
          for await (const piece of answered.body) chunks.push(piece)
          const enrolment = JSON.parse(fromUtf8(Buffer.concat(chunks))) as { broker: object }
          const broker = { ...enrolment.broker, clientId: 'flock:north', username: '', password: '', authentication: 'certificate', reportPrefix }
          return { ...answered, body: piecesOf(utf8(JSON.stringify({ ...enrolment, broker }))) }
        },
        async mqtt(options) {
          connections.push(options)
          if (refusing) throw new Error('the broker refuses')
          const connection = await controller.mqtt(options)
          return { ...connection, publish: (topic, payload) => (topics.push(topic), connection.publish(topic, payload)) }
        },
        tcpConnects: async () => true,
      },
    }
  })

  /** An agent that has just enrolled and is connected; it is stopped with its test. */
  async function connectedAgent(): Promise<Agent> {
    const config = await enrol(host, syncCrypto, {
      controllerUrl: controller.url, site, claim: 'a-claim-of-at-least-twenty', rootFingerprint: controller.root.keyid, stateDirectory: '/state', replace: false,
      nodes: [{ name: 'controller-0', root: '/', personality: 'controller', hasAgent: true }],
    })
    const agent = createAgent({ config, host, crypto: syncCrypto })
    await agent.start()
    onTestFinished(async () => {
      const stopped = agent.stop()
      await clock.until(() => !controller.connected, 'the agent has stopped')
      await stopped
    })
    await clock.until(() => agent.status().connected, 'the agent is connected')
    return agent
  }

  test('enrols, brings its certificate to each connection, and another when it was refused several times', async () => {
    const agent = await connectedAgent()
    expect(connections[0]).toMatchObject({ clientId: 'flock:north', tls: { certificate: untrustedCertificate, authority: 'an authority', privateKey: expect.stringContaining('PRIVATE KEY') as string } })
    expect(connections[0]).not.toHaveProperty('authentication')
    refusing = true
    controller.dropConnections()
    await clock.until(() => given.length === 2 && connections.length > 4, 'another certificate was asked for')
    expect(connections.at(-1)!.tls!.privateKey).not.toBe(connections[0]!.tls!.privateKey)
    refusing = false
    await clock.until(() => agent.status().connected, 'the agent is connected again')
    expect(given).toHaveLength(2)
  })

  test('reports under the prefix that a renewal of its enrolment brings, as before without one, and is gone under the plain topic', async () => {
    const [report, presence] = [siteTopic(fleet, site, 'report'), siteTopic(fleet, site, 'presence')]
    const agent = await connectedAgent()
    await clock.until(() => topics.length > 0 && agent.status().reportsWaiting === 0, 'all is said')
    expect(new Set(topics)).toEqual(new Set([report]))
    ;[reportPrefix, refusing, topics] = ['$aws/rules/murmur_flock_report/', true, []]
    controller.dropConnections()
    await clock.until(() => given.length === 2, 'the enrolment was renewed')
    refusing = false
    await clock.until(() => agent.status().connected && topics.length > 0 && agent.status().reportsWaiting === 0, 'all is said again')
    expect(new Set(topics)).toEqual(new Set([`$aws/rules/murmur_flock_report/${report}`]))
    expect(connections.at(-1)!.will.topic).toBe(presence)
    expect(connections.at(-1)).not.toHaveProperty('reportPrefix')
    topics = []
    const stopped = agent.stop()
    await clock.until(() => !controller.connected, 'the agent has stopped')
    await stopped
    expect(topics).toEqual([presence])
  })

  test('renews the certificate of a connection that lasts, and connects with the new one without a word of being gone', async () => {
    const agent = await connectedAgent()
    const stored = JSON.parse(fromUtf8(await host.files.read(paths.certificate))) as object
    await host.files.write(paths.certificate, utf8(JSON.stringify({ ...stored, renewAtMs: clock.nowMs() + 3 * 3_600_000 })))
    await clock.until(() => connections.length === 2 && agent.status().connected, 'the agent is connected anew')
    expect(given).toHaveLength(2)
    expect(connections[1]!.tls!.privateKey).not.toBe(connections[0]!.tls!.privateKey)
  })
})

describeCertified('a broker behind TLS that wants certificates', () => {
  test('lets in the one it signed, without name and password, and nobody else', async () => {
    const authority = createAuthority()
    const broker = await startOpenBroker()
    const front = await startTlsFront(Number(new URL(broker.tcpUrl).port), { key: localhostKey, cert: untrustedCertificate, ca: [untrustedCertificate], requestCert: true, rejectUnauthorized: true })
    onTestFinished(async () => {
      await front.close()
      await broker.close()
      authority.remove()
    })
    const privateKey = makeCertificateKey()
    const tls = { certificate: authority.sign(certificateRequest(privateKey, clientId), 1), privateKey, authority: untrustedCertificate }
    const options: MqttOptions = { url: `mqtts://localhost:${front.port}`, clientId, username: '', password: '', keepAliveS: 30, will: { topic: 'gone', payload: utf8('gone') } }
    const connection = await nodeMqtt({ ...options, tls })
    await connection.publish('report', utf8('here I am'))
    await connection.publish('$aws/rules/murmur_flock_report/report', utf8('by Basic Ingest'))
    expect(broker.messages.map(({ topic, payload }) => [topic, fromUtf8(payload)])).toEqual([['report', 'here I am'], ['$aws/rules/murmur_flock_report/report', 'by Basic Ingest']])
    await connection.close()
    const another = makeCertificateKey()
    await expect(nodeMqtt({ ...options, tls: { ...tls, privateKey: another } })).rejects.toThrow()
    await expect(nodeMqtt({ ...options, tls: { ...tls, authority: null } })).rejects.toThrow()
    await expect(nodeMqtt(options)).rejects.toThrow()
  })
})
