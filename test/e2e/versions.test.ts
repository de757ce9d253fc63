import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterEach, expect } from 'vitest'
import { createClient, type Client } from '../../cli/client.ts'
import { openDatabase } from '../../db/client.ts'
import { readMigrations } from '../../db/migrate.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sealAudit } from '../../functions/audit/seal.ts'
import { verifyAudit } from '../../functions/audit/verify.ts'
import type { Ctx } from '../../functions/context.ts'
import { protocolRange } from '../../edge-agent/agent-version.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { startOpenBroker } from '../support/open-broker.ts'
import { sleep, until } from '../support/program.ts'
import { startSqld } from '../support/start-sqld.ts'
import { fleet, openWorkshop, startBalancer, type Age } from './two-versions.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function workshop() {
  const opened = await openWorkshop()
  closing.push(opened.close)
  return opened
}

const installed = (node: string): Promise<string> => readFile(join(node, 'opt/app/version'), 'utf8')

needs('history').test('an agent of the version before takes ordinary releases from this controller, and is kept from one it could not carry out', async () => {
  const shop = await workshop()
  const { client } = await shop.startController('present')
  await shop.trust(client)
  const node = await shop.addSite(client, 'harbour', 'released')
  const site = () => client.call(contracts.getSite, { params: { site: 'harbour' as SiteId } })
  expect((await site()).agentProtocol).toEqual({ min: 1, max: 1, standing: 'ok' })
  const first = await shop.completed(client, await shop.rollOut(client, await shop.publish(client, '1.0.0')))
  expect([first.counts, await installed(node)]).toEqual([{ succeeded: 1 }, '1.0.0'])

  const second = await shop.completed(client, await shop.rollOut(client, await shop.publish(client, '2.0.0', 'protocolMin: 2\n')))
  expect([second.counts, await installed(node)]).toEqual([{ skipped: 1 }, '1.0.0'])
  const { summary } = await client.call(contracts.explainSite, { params: { site: 'harbour' as SiteId } })
  expect(summary).toContain('app@2.0.0 needs an agent of protocol 2, the site has 1; it takes a release that brings one and that app@1.0.0 may go to, or an agent installed by hand')
  expect((await client.call(contracts.listAlarms, { query: { limit: 10 } })).items).toEqual([])
})

needs('history').test('an agent of this version enrols with the controller of the version before, takes a release from it, and goes on when that is replaced and when it comes back', async () => {
  const shop = await workshop()
  const before = await shop.startController('released')
  await shop.trust(before.client)
  const node = await shop.addSite(before.client, 'harbour', 'present')
  const view = await shop.completed(before.client, await shop.rollOut(before.client, await shop.publish(before.client, '1.0.0')))
  expect([view.counts, await installed(node)]).toEqual([{ succeeded: 1 }, '1.0.0'])
  expect(before.program.output).not.toContain('ingest.refused')
  const site = (client: Client) => client.call(contracts.getSite, { params: { site: 'harbour' as SiteId } })
  expect(await site(before.client)).toMatchObject({ presence: 'online', running: { id: 'app@1.0.0' } })

  await before.program.end('SIGTERM')
  const after = await shop.startController('present')
  const { client } = after
  await until('the site has said hello to the new one', async () => (await site(client)).presence === 'online', shop.programs)
  expect((await site(client)).agentProtocol).toEqual({ ...protocolRange, standing: 'ok' })
  const next = await shop.completed(client, await shop.rollOut(client, await shop.publish(client, '2.0.0', 'protocolMin: 2\n')))
  expect([next.counts, await installed(node)]).toEqual([{ succeeded: 1 }, '2.0.0'])

  // it has been told of protocol 2: the one before must still understand its hello
  await after.program.end('SIGTERM')
  const leftAtMs = Date.now()
  const back = await shop.startController('released')
  await until('the site has said hello to the old one', async () => Date.parse((await site(back.client)).lastSeenAt ?? '') > leftAtMs, shop.programs)
  const last = await shop.completed(back.client, await shop.rollOut(back.client, await shop.publish(back.client, '3.0.0')))
  expect([last.counts, await installed(node)]).toEqual([{ succeeded: 1 }, '3.0.0'])
})

/** Two versions of the functions on one database: requests and reports go to both in turn, and both tick (F57). */
needs('history', 'sqld').test('controllers of the version before and of this one work on one database at the same time', async () => {
  const shop = await workshop()
  const [broker, balancer] = [await startOpenBroker(), await startBalancer()]
  closing.push(broker.close, balancer.close)
  const sqld = await startSqld(shop.directory)
  shop.programs.push(sqld.program)
  const db = await openDatabase(sqld.url)
  closing.push(() => db.close())

  const start = async (age: Age) => {
    const port = String(await freePort())
    const url = `http://127.0.0.1:${port}`
    const program = shop.program(`${age} controller`, join(shop.trees.present, 'test/support/controller-behind-balancer.ts'), [shop.trees[age]], {
      MURMUR_FLEET: fleet, MURMUR_DATA: shop.data, PORT: port, MURMUR_PUBLIC_URL: balancer.url, MURMUR_DATABASE_URL: sqld.url,
      MURMUR_BROKER_URL: broker.tcpUrl, MURMUR_BROKER_USERNAME: 'controller', MURMUR_BROKER_PASSWORD: 'anybody may',
    })
    program.start()
    await until(`the ${age} controller answers`, async () => (await fetch(`${url}/readyz`)).ok, shop.programs)
    return { program, url, client: createClient({ url, token: await shop.adminToken(), sleep }) }
  }

  // as it was before: the released version alone, with its agents, and a rollout of its own under way
  const released = await start('released')
  balancer.backends.push(released.url)
  const balanced = createClient({ url: balancer.url, token: await shop.adminToken(), sleep })
  await shop.trust(released.client)
  const { secret } = await released.client.call(contracts.createToken, { body: { name: 'bridge', role: 'ingest' } })
  const bridge = shop.program('released bridge', join(shop.trees.released, 'infra/bridge/main.ts'), [], {
    MURMUR_CONTROLLER_URL: balancer.url, MURMUR_TOKEN: secret, MURMUR_FLEET: fleet, MURMUR_BROKER_URL: broker.tcpUrl,
  })
  bridge.start()
  const nodes = new Map<string, string>()
  for (const site of ['amber', 'birch']) nodes.set(site, await shop.addSite(released.client, site, 'released'))
  const first = await shop.rollOut(released.client, await shop.publish(released.client, '1.0.0'))

  // the new version arrives while that goes on: it brings the schema up to date under the old one, and both serve
  const present = await start('present')
  const applied = (await db.orm.all<{ name: string }>(sql`SELECT name FROM migration ORDER BY name`)).map(({ name }) => name)
  expect(applied).toEqual(readMigrations().map(({ name }) => name))
  balancer.backends.push(present.url)
  nodes.set('cedar', await shop.addSite(balanced, 'cedar', 'present'))
  nodes.set('dogwood', await shop.addSite(balanced, 'dogwood', 'released'))
  await shop.completed(balanced, first)
  const everywhere = async (version: string) => expect(await Promise.all([...nodes.values()].map(installed))).toEqual([...nodes].map(() => version))

  const both = await shop.completed(balanced, await shop.rollOut(balanced, await shop.publish(balanced, '1.1.0')))
  expect(both.counts).toEqual({ succeeded: 4 })
  await everywhere('1.1.0')

  // what one has begun the other ends, whichever of the two it is
  const leave = (url: string) => balancer.backends.splice(balancer.backends.indexOf(url), 1)
  const begun = await shop.rollOut(released.client, await shop.publish(balanced, '1.2.0'))
  leave(released.url)
  await released.program.end('SIGKILL')
  expect((await shop.completed(present.client, begun)).counts).toEqual({ succeeded: 4 })
  await everywhere('1.2.0')

  const again = await start('released')
  balancer.backends.push(again.url)
  const handed = await shop.rollOut(present.client, await shop.publish(balanced, '1.3.0'))
  leave(present.url)
  await present.program.end('SIGKILL')
  expect((await shop.completed(again.client, handed)).counts).toEqual({ succeeded: 4 })
  await everywhere('1.3.0')

  // the end state is right, as the present version sees it
  await bridge.end('SIGTERM')
  await again.program.end('SIGTERM')
  expect(await db.orm.all(sql`SELECT rollout_id, wave, grp, state, n FROM counter WHERE n <> 0 ORDER BY 1, 2, 3, 4`)).toEqual(
    await db.orm.all(sql`SELECT rollout_id, wave, grp, state, count(*) AS n FROM deployment GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`),
  )
  const sites = await db.orm.all<Record<string, unknown>>(sql`SELECT id, desired->>'id' AS desired, running->>'id' AS running, (SELECT count(*) FROM directive WHERE site_id = site.id AND pending = 1) AS pending,
    (SELECT count(*) FROM directive d WHERE d.site_id = site.id AND (d.epoch, d.generation) > (site.epoch, site.generation)) AS beyond FROM site ORDER BY id`)
  expect(sites).toEqual([...nodes.keys()].map((id) => ({ id, desired: 'app@1.3.0', running: 'app@1.3.0', pending: 0, beyond: 0 })))
  expect(await db.orm.all(sql`SELECT attempt, state, count(*) AS n FROM deployment WHERE rollout_id IN (${begun}, ${handed}) GROUP BY 1, 2`)).toEqual([{ attempt: 1, state: 'succeeded', n: 8 }])
  const ctx = { db, crypto: nodeCrypto, nowMs: Date.now(), log: { write: () => undefined } } as unknown as Ctx
  await sealAudit(ctx)
  expect(await verifyAudit(ctx)).toMatchObject({ ok: true })
})
