import mqtt from 'mqtt'
import { siteTopic } from '../protocol/topics.ts'
import type { FleetId, SiteId } from '../protocol/ids.ts'
import { startRig, type Rig } from '../test/runtime/rig.ts'
import { byTurns, millisecondsOf } from './by-turns.ts'
import { figureOf, type Bench } from './figure.ts'

const fleet = 'practice' as FleetId
const sites = 1000

/**
 * Signing, publishing and noting down what a thousand sites are told, in one invocation of the Worker in real workerd (its cron trigger, with a libSQL
 * server and one WebSocket to the broker), against a bare MQTT client in Node that sends as many payloads of the same length to the same broker.
 */
export const workerPublish: Bench = {
  name: 'worker-publish',
  about: 'publishing to 1,000 sites from one Worker invocation, against a bare MQTT client',
  async run({ quick, say }) {
    const rig = await startRig()
    try {
      await fillOutbox(rig)
      await rig.worker.cron()
      const bytes = rig.broker.messages.at(-1)?.payload.length
      if (bytes === undefined) throw new Error('the Worker published nothing')
      say(`${sites} messages of ${bytes} bytes`)
      const pairs = await byTurns(quick ? 3 : 9, () => publishFromWorker(rig), () => publishBare(rig, bytes))
      return [figureOf({ bench: 'worker-publish', name: '1000 sites, one cron invocation', unit: 'ms', aim: null }, pairs)]
    } finally {
      await rig.stop()
    }
  },
}

/** A directive for each of a thousand sites, waiting to be sent. */
async function fillOutbox({ db }: Rig): Promise<void> {
  const names = JSON.stringify(Array.from({ length: sites }, (_, i) => `site-${String(i).padStart(4, '0')}`))
  const release = { id: 'app@1.0.0', digest: 'a'.repeat(64) }
  await db.write([
    {
      sql: `INSERT INTO directive (site_id, slot, epoch, generation, body, pending, attempts, due_ms, expires_ms, sent_ms)
            SELECT value, 'desired', 1, 1, json_object('v', 1, 'fleet', ?, 'site', value, 'incarnation', 1, 'position', json_object('epoch', 1, 'generation', 1), 'issuedAtMs', 1, 'trustVersion', 1,
              'requestId', 'bench', 'kind', 'desired', 'release', json(?), 'deployment', NULL, 'staging', 'with-start', 'back', json('false')), 1, 0, 0, NULL, NULL FROM json_each(?)`,
      args: [fleet, JSON.stringify(release), names],
    },
  ])
}

async function publishFromWorker({ db, worker, broker }: Rig): Promise<number> {
  await db.write([{ sql: 'UPDATE directive SET pending = 1, attempts = 0, due_ms = 0, sent_ms = NULL', args: [] }])
  const before = broker.messages.length
  const spentMs = await millisecondsOf(() => worker.cron())
  const [pending] = await db.orm.all<{ n: number }>('SELECT count(*) AS n FROM directive WHERE pending = 1')
  if (broker.messages.length - before < sites || pending!.n > 0) throw new Error(`${broker.messages.length - before} of ${sites} messages were published, ${pending!.n} are pending`)
  return spentMs
}

async function publishBare({ broker }: Rig, bytes: number): Promise<number> {
  const payload = Buffer.alloc(bytes, 'x')
  return millisecondsOf(async () => {
    const client = await mqtt.connectAsync(broker.webSocketUrl, { protocolVersion: 4, clientId: 'bench', username: 'bench', password: 'x' })
    await Promise.all(Array.from({ length: sites }, (_, i) => client.publishAsync(siteTopic(fleet, `site-${String(i).padStart(4, '0')}` as SiteId, 'desired'), payload, { qos: 1, retain: true })))
    await client.endAsync()
  })
}
