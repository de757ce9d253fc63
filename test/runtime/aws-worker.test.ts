import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { readIdentity } from '../../edge-agent/identity.ts'
import { certificateRequest, makeCertificateKey } from '../../edge-agent/link/certificate-request.ts'
import { createController } from '../../edge-agent/link/controller.ts'
import { enrol } from '../../edge-agent/link/enrol.ts'
import { nodeHost } from '../../edge-agent/host/node-host.ts'
import { statePaths } from '../../edge-agent/state-paths.ts'
import { fromBase64 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { agentContracts } from '../../protocol/http/agent.ts'
import { contracts } from '../../protocol/http/contracts.ts'
import { FleetId, SiteId } from '../../protocol/ids.ts'
import { probeTopic } from '../../protocol/topics.ts'
import { controllerPolicy } from '../../infra/aws/controller-policy.ts'
import { needs } from '../support/needs.ts'
import { awsAccess, startAwsIot, type AwsIot } from '../support/start-aws-iot.ts'
import { startSqld } from '../support/start-sqld.ts'
import { startWorker, type WorkerHost } from '../support/start-worker.ts'

const { describe } = needs('workerd', 'sqld', 'moto')

describe('a Worker whose broker is AWS IoT Core', () => {
  const fleet = FleetId.parse('practice')
  const north = SiteId.parse('north')
  const undo: (() => Promise<unknown>)[] = []
  let aws: AwsIot
  let worker: WorkerHost
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'murmur-aws-worker-'))
    undo.push(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }))
    aws = await startAwsIot()
    undo.push(aws.stop)
    const sqld = await startSqld(directory)
    undo.push(() => sqld.program.end())
    const db = await openDatabase(sqld.url)
    await migrate(db)
    db.close()
    worker = await startWorker({
      directory, databaseUrl: sqld.url,
      settings: {
        MURMUR_BROKER_URL: '', MURMUR_BROKER_USERNAME: '', MURMUR_BROKER_SITES_URL: '', MURMUR_AWS_IOT_ENDPOINT: aws.endpoint, MURMUR_AWS_CONTROL_ENDPOINT: aws.endpoint,
        MURMUR_AWS_REGION: awsAccess.region, MURMUR_AWS_ACCOUNT: awsAccess.account, MURMUR_AWS_ACCESS_KEY_ID: awsAccess.accessKeyId, MURMUR_AWS_SECRET_ACCESS_KEY: awsAccess.secretAccessKey,
      },
    })
    undo.push(() => worker.program.end())
    await aws.prepare(fleet)
    aws.allowOnly(controllerPolicy({ ...awsAccess, fleet }))
  })
  afterAll(async () => {
    for (const step of undo.splice(0).reverse()) await step()
  })

  test('enrols a site, gives its agent a certificate, and shuts it out again', async () => {
    const { claim } = await worker.client.call(contracts.createSite, { body: { id: north } })
    const stateDirectory = join(directory, 'site')
    const config = await enrol(nodeHost, webCrypto, {
      controllerUrl: worker.url, site: north, claim: claim.claim, rootFingerprint: worker.rootFingerprint, stateDirectory, replace: false,
      nodes: [{ name: 'controller-0', root: join(directory, 'root'), personality: 'controller', hasAgent: true }],
    })
    const identity = (await readIdentity(nodeHost.files, statePaths(config.stateDirectory)))!
    expect(identity.enrolment.broker).toEqual({ url: 'mqtts://127.0.0.1:8883', clientId: 'practice:north', username: '', password: '', authentication: 'certificate', reportPrefix: '$aws/rules/murmur_practice_report/' })
    const controller = createController(nodeHost, webCrypto, worker.url, { site: north, incarnation: 1, privateKey: fromBase64(identity.privateKey), refused: async () => undefined })
    const { certificate } = await controller.call(agentContracts.certify, { body: { request: certificateRequest(makeCertificateKey(), 'practice:north') } })
    expect(certificate).toContain('BEGIN CERTIFICATE')
    await worker.client.call(contracts.removeSite, { params: { site: north } })
    expect(new Set(aws.uses.map(({ action }) => action))).toEqual(new Set(controllerPolicy({ ...awsAccess, fleet }).Statement.flatMap(({ Action }) => Action).filter((action) => !/Publish/.test(action) && action !== 'iot:UpdateThing')))
    expect(aws.refusals).toEqual([])
  })

  test('publishes with a signature that holds', async () => {
    await worker.client.call(contracts.checkLinks, {})
    expect(aws.publications.map(({ topic }) => topic)).toContain(`$aws/rules/murmur_practice_report/${probeTopic(fleet)}`)
    expect(aws.refusals).toEqual([])
  })

  test('confirms the destination of its own account', async () => {
    await aws.makeDestination(`${worker.url}${contracts.ingestWebhook.path}`)
    expect(aws.destinations.map(({ status }) => status)).toEqual(['ENABLED'])
  })
})
