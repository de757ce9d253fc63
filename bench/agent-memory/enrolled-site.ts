import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createEmbeddedBroker } from '../../functions/adapters/node/embedded-broker.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { receiveReports } from '../../functions/ingest/receive.ts'
import { serveHttp } from '../../functions/platform/serve-http.ts'
import { bundleAgent } from '../../infra/agent/build-version.ts'
import { fleet, startController } from '../../test/support/controller.ts'

/** `node` is a copy of this Node's binary. `program` is the agent as it stands here, `bundle` the same as one file. `saidHello`: whether the agent has said hello since the last call. */
export type EnrolledSite = { node: string; stateDirectory: string; bundle: string; program: string; saidHello(): Promise<boolean>; close(): Promise<void> }

const agentDirectory = join(import.meta.dirname, '../../edge-agent')

/** A controller with its broker in this process, and one site of one node whose agent has enrolled and may be run. */
export async function enrolledSite(): Promise<EnrolledSite> {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-bench-'))
  const controller = await startController()
  const broker = await createEmbeddedBroker({ fleet, ingestSecret: controller.deps.keys.ingestSecret(), crypto: nodeCrypto, log: controller.deps.log, host: '127.0.0.1', port: 0, sitesUrl: null, incarnationOf: async () => 1 })
  controller.deps.broker = broker
  controller.deps.clock = { nowMs: () => Date.now() }
  const subscriber = broker.createSubscriber({ take: (messages) => receiveReports(controller.context(), messages), gap: async () => undefined })
  await subscriber.start()
  const http = await serveHttp('127.0.0.1', 0)
  http.use((request) => controller.app.fetch(request))
  const { claim } = (await controller.call('createSite', { body: { id: 'bench' } })).body
  const [stateDirectory, root, bundle, node] = [join(directory, 'state'), join(directory, 'root'), join(directory, 'murmur-agent.mjs'), join(directory, 'node')]
  mkdirSync(root)
  copyFileSync(process.execPath, node)
  const program = join(agentDirectory, 'murmur-agent.mjs')
  await promisify(execFile)(process.execPath, [program, 'enrol', '--controller', http.url, '--site', 'bench', '--claim', claim.claim, '--root', claim.rootFingerprint, '--state', stateDirectory, '--node', `controller-0=${root},controller`])
  await bundleAgent(bundle)
  const newestHello = async () => (await controller.db.write([{ sql: 'SELECT hello_seq FROM site', args: [] }]))[0]!.rows[0]!.hello_seq
  let seen = await newestHello()
  return {
    node, stateDirectory, bundle, program,
    async saidHello() {
      const now = await newestHello()
      if (now === seen) return false
      seen = now
      return true
    },
    async close() {
      await subscriber.stop()
      await http.close()
      await broker.close()
      controller.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
