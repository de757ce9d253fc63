import { beforeEach, describe, expect, test } from 'vitest'
import type { Host } from '../../edge-agent/host/host.ts'
import { enrol, type EnrolRequest } from '../../edge-agent/link/enrol.ts'
import { agentVersion } from '../../edge-agent/agent-version.ts'
import packageFile from '../../package.json' with { type: 'json' }
import { readIdentity } from '../../edge-agent/identity.ts'
import { statePaths } from '../../edge-agent/state-paths.ts'
import { toBase64, fromUtf8 } from '../../protocol/bytes.ts'
import { FakeController, site } from '../support/fake-controller.ts'
import { quietSensors } from '../support/quiet-sensors.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { cutPowerAfter, SimulatedFiles } from '../support/simulated-files.ts'
import { syncCrypto } from '../support/sync-crypto.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const stateDirectory = '/state'
const paths = statePaths(stateDirectory)
let controller: FakeController
let files: SimulatedFiles
let host: Host

beforeEach(async () => {
  const clock = new VirtualClock(0)
  controller = await FakeController.create(() => clock.nowMs())
  files = new SimulatedFiles()
  await files.makeDirectory(stateDirectory)
  await files.sync('/')
  host = {
    files, clock, random: { bytes: (length) => new Uint8Array(length), fraction: () => 0 }, network: controller,
    processes: { run: async () => ({ how: 'not-started', exitCode: null, output: '', outputBytes: 0 }) },
    facts: { architecture: () => 'x86_64', inventory: async () => ({}), clockSynchronised: async () => null },
    sensors: quietSensors,
  }
})

const request = (more: Partial<EnrolRequest> = {}): EnrolRequest => ({
  controllerUrl: `${controller.url}/`, site, claim: 'a-claim-of-at-least-twenty', rootFingerprint: controller.root.keyid, stateDirectory,
  nodes: [{ name: 'controller-0', root: '/', personality: 'controller', hasAgent: true }], replace: false, ...more,
})

describe('enrolment', () => {
  test('names the version of the package', () => {
    expect(agentVersion).toBe(packageFile.version)
  })

  test('binds a key made at the site, and leaves a configuration and an identity only its owner reads', async () => {
    const config = await enrol(host, syncCrypto, request())
    expect(config).toMatchObject({ site, fleet: 'test-fleet', controllerUrl: controller.url, nodesAtOnceMax: 1 })
    const identity = await readIdentity(files, paths)
    const message = new TextEncoder().encode('x')
    expect(syncCrypto.verify(controller.agentPublicKey!, message, syncCrypto.sign(Buffer.from(identity!.privateKey, 'base64'), message))).toBe(true)
    expect((await files.facts(paths.identity))!.mode).toBe(0o600)
    expect(await files.facts(paths.pendingKey)).toBeNull()
  })

  test('believes no controller whose trust another root signed (I3)', async () => {
    const fingerprint = (await FakeController.create(() => 0)).root.keyid
    await expect(enrol(host, syncCrypto, request({ rootFingerprint: fingerprint }))).rejects.toThrow('wrong-root')
    expect(await readIdentity(files, paths)).toBeNull()
  })

  test('refuses a directory that belongs to an enrolled site, unless that is to be replaced', async () => {
    await enrol(host, syncCrypto, request())
    const first = await files.read(paths.identity)
    await expect(enrol(host, syncCrypto, request())).rejects.toThrow('--replace')
    expect(await files.read(paths.identity)).toEqual(first)
    controller.incarnation = 2
    await enrol(host, syncCrypto, request({ replace: true, claim: 'another-claim-of-twenty' }))
    expect((await readIdentity(files, paths))!.enrolment.incarnation).toBe(2)
  })

  test('keeps what whoever looks after the site wrote into agent.json, and says so where it cannot', async () => {
    const config = await enrol(host, syncCrypto, request())
    const own = { kubeconfig: '/etc/own.yaml', commands: { ups: { path: '/usr/local/bin/check-ups', args: ['--line', '1'] } }, keepAliveS: 20 }
    await files.write(paths.config, new TextEncoder().encode(JSON.stringify({ ...config, ...own })))
    const nodes = [{ name: 'front', root: '/', personality: 'controller', hasAgent: true }]
    expect(await enrol(host, syncCrypto, request({ replace: true, claim: 'another-claim-of-twenty', nodes }))).toMatchObject({ ...own, nodes })
    const damaged = new TextEncoder().encode('{"commands": {"ups"')
    await files.write(paths.config, damaged)
    await expect(enrol(host, syncCrypto, request({ replace: true, claim: 'a-third-claim-of-twenty' }))).rejects.toThrow(`${paths.config} is there and cannot be kept`)
    expect(await files.read(paths.config)).toEqual(damaged)
  })

  test('lists every fault of what it is told before it asks anybody', async () => {
    const wrong = request({ site: 'Not A Site', rootFingerprint: 'short', nodes: [] })
    await expect(enrol(host, syncCrypto, wrong)).rejects.toThrow(/site.*rootFingerprint.*nodes/s)
    expect(controller.requests).toEqual([])
  })

  test('cut at any call, the same claim sends the same key again, and it ends enrolled (F21)', async () => {
    for (let calls = 0; ; calls++) {
      await files.remove(stateDirectory)
      await files.makeDirectory(stateDirectory)
      await files.sync('/')
      await files.sync(stateDirectory)
      controller.agentPublicKey = null
      files.beforeCall = cutPowerAfter(calls)
      const done = await enrol(host, syncCrypto, request()).then(() => true, () => false)
      files.beforeCall = null
      const bound = controller.agentPublicKey === null ? null : toBase64(controller.agentPublicKey)
      if (done) break
      files.crash(seededFractions(calls))
      if ((await readIdentity(files, paths)) === null) await enrol(host, syncCrypto, request())
      if (bound !== null) expect(toBase64(controller.agentPublicKey!), `cut after ${calls}`).toBe(bound)
      expect(JSON.parse(fromUtf8(await files.read(paths.config))).site, `cut after ${calls}`).toBe(site)
    }
  })
})
