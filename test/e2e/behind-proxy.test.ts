import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { createClient, type Client } from '../../cli/client.ts'
import { publishRelease } from '../../cli/publish/publish-release.ts'
import { parseReleaseFile } from '../../cli/publish/release-file.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { openNodeKeys } from '../../functions/platform/node-keys.ts'
import { bundleAgent } from '../../infra/agent/build-version.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { startConnectProxy } from '../support/connect-proxy.ts'
import { makeKey, signTrust } from '../support/controller.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { createPrivateAuthority } from '../support/private-authority.ts'
import { startTlsFront } from '../support/tls-front.ts'
import { Program, sleep, until } from '../support/program.ts'

const { describe, test } = needs('openssl')
const root = join(import.meta.dirname, '../..')
/** As the launcher starts it: what is missing from Node with these is missing at sites. */
const shippedOptions = ['--lite-mode', '--max-semi-space-size=1']
const hosts = { controller: 'controller.site.invalid', broker: 'broker.site.invalid' }

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

describe('a site whose only way out is a proxy, and whose controller has a certificate of a private authority', () => {
  test.each([['without a password', undefined], ['with a password', 'harbour:secret']])('enrols, is reached and is updated through it, %s', async (_, user) => {
    const directory = await mkdtemp(join(tmpdir(), 'murmur-behind-proxy-'))
    ends.push(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
    const at = (path: string): string => join(directory, path)
    await Promise.all(['data', 'node', 'tree'].map((name) => mkdir(at(name), { mode: 0o700 })))
    const bundle = at('agent.mjs')
    await bundleAgent(bundle)
    const authority = createPrivateAuthority(directory)
    const { certificate: cert, key } = authority.certify('controller', Object.values(hosts))
    const [httpPort, brokerPort] = [await freePort(), await freePort()]
    const [front, brokerFront] = [await startTlsFront(httpPort, { cert, key }), await startTlsFront(brokerPort, { cert, key })]
    const proxy = await startConnectProxy({ [hosts.controller]: front.port, [hosts.broker]: brokerFront.port }, user)
    ends.push(front.close, brokerFront.close, proxy.close)

    const controller = new Program('controller', process.execPath, [join(root, 'functions/entry/node.ts')], {
      MURMUR_FLEET: 'practice', MURMUR_DATA: at('data'), PORT: String(httpPort), MURMUR_PUBLIC_URL: `https://${hosts.controller}`,
      MURMUR_BROKER_PORT: String(brokerPort), MURMUR_BROKER_SITES_URL: `mqtts://${hosts.broker}`,
    })
    const keys = await openNodeKeys(nodeCrypto, at('data'))
    controller.start()
    ends.push(() => controller.end())
    const direct = `http://127.0.0.1:${httpPort}`
    await until('the controller answers', async () => (await fetch(`${direct}/readyz`)).ok, [controller])
    // the publisher is elsewhere, and needs no proxy
    const around: typeof fetch = (url, init) => fetch(String(url).replace(`https://${hosts.controller}`, direct), init)
    const client: Client = createClient({ url: direct, token: (await readFile(at('data/admin-token'), 'utf8')).trim(), sleep, fetch: around })
    const [rootKey, publisher] = [await makeKey('root'), await makeKey('publisher')]
    await client.call(contracts.putTrust, { body: await signTrust(rootKey, { publisherKeys: [publisher.trusted], fleetKeys: [{ keyid: keys.fleet.keyid, publicKey: toBase64(keys.fleet.publicKey), name: 'fleet' }] }) })

    const site = 'harbour' as SiteId
    const { claim } = await client.call(contracts.createSite, { body: { id: site } })
    const agent = (name: string, words: string[], environment: Record<string, string>): Program => {
      const program = new Program(name, process.execPath, [...shippedOptions, bundle, ...words, '--state', at('state')], environment)
      program.start()
      ends.push(() => program.end())
      return program
    }
    const way = { HTTPS_PROXY: proxy.url, NODE_EXTRA_CA_CERTS: authority.file }
    const enrolment = [...claim.enrolLine.split(' ').slice(1), '--node', `node-0=${at('node')},controller`]
    const enrolled = agent('enrol', enrolment, way)
    await until('the site is enrolled', async () => enrolled.output.includes('"enrolled"'), [enrolled, controller])
    expect(claim.enrolLine).toContain(`https://${hosts.controller}`)
    const running = agent('agent', ['run'], way)
    await until('the site is online', async () => (await client.call(contracts.getSite, { params: { site } })).presence === 'online', [running, controller])

    await writeFile(at('tree/version'), 'one')
    const yaml = 'name: app\nversion: 1.0.0\ncomponents:\n  - {name: app, driver: files, source: tree, target: /opt/app}\n'
    await publishRelease({ client, file: parseReleaseFile(yaml, at('release.yaml')), key: publisher })
    await client.call(contracts.createRollout, { body: { name: 'one', target: { release: 'app@1.0.0' as never }, selector: { all: true }, policy: { waves: [{ name: 'all', size: 'rest' }] } } })
    await until('the release is on the node', async () => (await readFile(at('node/opt/app/version'), 'utf8')) === 'one', [running, controller])
    await until('the controller knows', async () => (await client.call(contracts.getSite, { params: { site } })).running?.id === 'app@1.0.0', [running, controller])
    expect(new Set(proxy.tunnels)).toEqual(new Set([`${hosts.controller}:443`, `${hosts.broker}:8883`]))
    expect(proxy.refused).toBe(0)
  })
})
