import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { nodeMqtt } from '../../edge-agent/host/node-mqtt.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { siteSubscriptions, siteTopic } from '../../protocol/topics.ts'
import { enrolBody } from '../support/agent.ts'
import { fleet, makeKey } from '../support/controller.ts'
import { needs } from '../support/needs.ts'
import { controllerUser, startMosquitto } from '../support/start-mosquitto.ts'
import { startSqld } from '../support/start-sqld.ts'
import { startWorker } from '../support/start-worker.ts'

const { test } = needs('mosquitto', 'sqld', 'workerd')

test('a controller in workerd lets an enrolled site into mosquitto, the next incarnation in its place, and shuts it out when it is removed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'murmur-workerd-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }))
  const password = 'of the controller itself'
  const mosquitto = await startMosquitto({ fleet, controllerPassword: password, directory, webSocket: true })
  onTestFinished(mosquitto.stop)
  const sqld = await startSqld(directory)
  onTestFinished(() => sqld.program.end())
  const db = await openDatabase(sqld.url)
  onTestFinished(() => db.close())
  await migrate(db)
  const settings = { MURMUR_BROKER_URL: mosquitto.webSocketUrl, MURMUR_BROKER_SITES_URL: mosquitto.tcpUrl, MURMUR_BROKER_USERNAME: controllerUser, MURMUR_BROKER_PASSWORD: password, MURMUR_BROKER_REGISTRAR: 'mosquitto' }
  const { client, program } = await startWorker({ directory, databaseUrl: sqld.url, settings })
  onTestFinished(() => program.end())

  const site = 'north' as SiteId
  const enrol = async () => {
    const { claim } = await client.call(contracts.createSite, { body: { id: site } }).catch(() => client.call(contracts.claimSite, { params: { site } }).then((claim) => ({ claim })))
    return client.call(contracts.enrol, { body: (await enrolBody(await makeKey('agent'), site, claim.claim)) as never })
  }
  const enter = async (broker: Awaited<ReturnType<typeof enrol>>['broker']) => {
    const connection = await nodeMqtt({ ...broker, keepAliveS: 30, will: { topic: siteTopic(fleet, site, 'presence'), payload: utf8('gone') } })
    onTestFinished(() => connection.close())
    return connection
  }
  const first = await enrol()
  const connection = await enter(first.broker)
  await connection.subscribe(siteSubscriptions(fleet, site))
  const over = new Promise<void>((resolve) => connection.onClose(resolve))
  const second = await enrol()
  await over
  await expect(enter(first.broker)).rejects.toThrow()
  const successor = await enter(second.broker)
  const out = new Promise<void>((resolve) => successor.onClose(resolve))
  await client.call(contracts.removeSite, { params: { site } })
  await out
  await expect(enter(second.broker)).rejects.toThrow()
})
