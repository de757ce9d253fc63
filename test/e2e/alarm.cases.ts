import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect } from 'vitest'
import { alarmIds } from '../../protocol/alarms.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { RolloutId, SiteId } from '../../protocol/ids.ts'
import type { needs } from '../support/needs.ts'
import { until } from '../support/program.ts'
import type { RealFleet } from './real-processes.ts'

type Told = { type: string; data: { site: string | null; alarmId: string; entity: string; text: string } }

const spool = '/var/spool/app'
const budgetBytes = 100_000

/** Faults at real sites: alarms, the webhooks that tell of them, the rollout that they stop, and what a site's resources are doing. `rollOut` takes app@`version` to every site, the canary first. */
export function runAlarmCases(test: ReturnType<typeof needs>['test'], parts: { fleet(): RealFleet; rollOut(version: string): Promise<RolloutId>; publish(version: string): Promise<unknown> }): void {
  const messages: { headers: IncomingHttpHeaders; body: string }[] = []
  let secret = ''
  const receiver = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => (body += piece)).on('end', () => {
      messages.push({ headers: request.headers, body })
      response.writeHead(204).end()
    })
  })
  beforeAll(() => new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve)))
  afterAll(async () => {
    receiver.closeAllConnections()
    await new Promise((resolve) => receiver.close(resolve))
  })

  const call: RealFleet['client']['call'] = (contract, input) => parts.fleet().client.call(contract, input)
  const alarmsOf = async (site: string, alarmId: string) => (await call(contracts.listAlarms, { query: { site: site as SiteId, alarmId, all: 'true' } })).items
  const view = (rollout: RolloutId) => call(contracts.getRollout, { params: { rollout } })
  /** What the receiver was told, every message checked by somebody else's code. */
  const told = (): Told[] => messages.flatMap(({ headers, body }) => {
    new Webhook(secret).verify(body, headers as Record<string, string>)
    const message = JSON.parse(body) as Told & { data: { events?: Told[] } }
    return message.data.events ?? [message]
  })
  const wasTold = (type: string, site: string, alarmId: string) => until(`${type} of ${alarmId} at ${site} was told`, async () => told().some((event) => event.type === `murmuration.${type}` && event.data.site === site && event.data.alarmId === alarmId), parts.fleet().programs())

  test('a fault after the canary: an alarm, a signed webhook, a rollout that stops; mended, the alarm clears and the rollout goes on', async () => {
    const fleet = parts.fleet()
    const { port } = receiver.address() as AddressInfo
    const created = await call(contracts.createWebhook, { body: { name: 'receiver', url: `http://127.0.0.1:${port}/`, filter: { types: ['alarm.*'] } } })
    secret = created.secret!
    // the machine that all of them share is busy with this very test
    const off = { minor: null, major: null, critical: null }
    const settings = { everyS: 5, cpu: off, memory: off, filesystem: off, clock: off, directory: { budgets: { [spool]: budgetBytes }, raiseAfter: 1, outOf: 1, clearAfter: 1 } }
    await call(contracts.putMonitoringRule, { params: { rule: 'spool' }, body: { labelSelector: 'site', settings } })
    await until('every site watches its spool', async () => {
      const { items } = await call(contracts.listSites, { query: { limit: 50 } })
      const held = await Promise.all(items.filter(({ state }) => state === 'enrolled').map(({ id }) => call(contracts.getSiteMonitoring, { params: { site: id } })))
      return held.every((each) => each.held === true)
    }, fleet.programs(), 60_000)

    await parts.publish('6.5.0')
    const id = await parts.rollOut('6.5.0')
    let canary = ''
    await until('the canary has ended', async () => {
      const done = (await call(contracts.listDeployments, { params: { rollout: id }, query: { limit: 50 } })).items.filter(({ state }) => state === 'succeeded')
      canary = done[0]?.site ?? ''
      return done.length === 1
    }, fleet.programs(), 60_000)
    const directory = join(fleet.nodeRoot(canary, 0), spool)
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'queue'), Buffer.alloc(budgetBytes * 0.99))
    await until('the rollout has stopped', async () => (await view(id)).pauses.some(({ reason }) => reason === 'alarm'), fleet.programs(), 60_000)
    const { pauses, counts } = await view(id)
    expect([counts['succeeded'], pauses.find(({ reason }) => reason === 'alarm')!.detail]).toEqual([1, expect.stringContaining(canary)])
    expect(await alarmsOf(canary, alarmIds.directory)).toMatchObject([{ severity: 'critical', gating: true, state: 'active', entity: `node=node-0.directory=${spool}` }])
    await wasTold('alarm.raised', canary, alarmIds.directory)

    await rm(join(directory, 'queue'))
    await until('the alarm has cleared', async () => (await alarmsOf(canary, alarmIds.directory)).length === 0, fleet.programs(), 60_000)
    await wasTold('alarm.cleared', canary, alarmIds.directory)
    await call(contracts.resumeRollout, { params: { rollout: id }, body: { reason: 'mended' } })
    await until('the rollout is completed', async () => (await view(id)).state === 'completed', fleet.programs(), 90_000)
  })

  test('a site that is killed is an alarm, and none any more when it is back', async () => {
    const fleet = parts.fleet()
    const agent = fleet.agents.get('north')!
    await agent.end('SIGKILL')
    await wasTold('alarm.raised', 'north', alarmIds.siteOffline)
    expect(await alarmsOf('north', alarmIds.siteOffline)).toHaveLength(1)
    agent.start()
    await wasTold('alarm.cleared', 'north', alarmIds.siteOffline)
    expect(await alarmsOf('north', alarmIds.siteOffline)).toEqual([])
  })

  test('a live view gets samples of every node while somebody looks', async () => {
    const fleet = parts.fleet()
    const params = { site: 'east' as SiteId }
    await call(contracts.startLive, { params })
    await until('a sample has come', async () => (await call(contracts.getLive, { params })).samples.length > 0, fleet.programs(), 60_000)
    const sample = (await call(contracts.getLive, { params })).samples.at(-1)!
    expect(sample.nodes.map(({ node }) => node).sort()).toEqual(['node-0', 'node-1'])
  })
}
