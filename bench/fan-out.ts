import { fleet } from '../test/support/controller.ts'
import { byTurns } from './by-turns.ts'
import { bareAedes, bareSenderOver, createBareLoop } from './fan-out/bare-loop.ts'
import { createRealLoop } from './fan-out/real-loop.ts'
import { hasMosquitto, startMosquitto } from './fan-out/start-mosquitto.ts'
import { startSites } from './fan-out/start-sites.ts'
import { figureOf, type Bench, type BenchOptions, type Figure } from './figure.ts'

/**
 * Fan-out of directives.
 *
 * Workload: a rollout of one wave grants N connected sites at once. `bytes ahead`: its desired has travelled before, and at its
 * start each site gets one signed message, the grant; timed from the tick that starts it (gather, decide, apply, and the outbox;
 * signing; publishing; the sites, which verify it and answer with a sealed report) until every report is recorded in the
 * database. `at once`: timed from the call that creates the rollout, its rows included, and each site gets two signed messages.
 * Floor: a bare loop over the same kind of broker, without database or protocol: signs messages of the same size, each once,
 * publishes them, the receivers verify and answer with as many bytes as a report has, the sender counts the answers; with as
 * many messages for each site as really travel.
 * The sites live in another process, one MQTT connection each, on both sides. The embedded broker and its floor (a plain
 * aedes) run in the sender's process, mosquitto in its own. Database: a libSQL file.
 * Counted: milliseconds.
 */
export const fanOut: Bench = { name: 'fan-out', about: 'milliseconds until N sites were granted and all of them have answered, against a bare MQTT loop', run }

const answerBytes = 870

async function run(options: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = []
  const brokers = hasMosquitto() ? ['embedded', 'mosquitto'] : ['embedded']
  if (brokers.length === 1) options.say('left out: mosquitto, which is not here (apt-get install mosquitto)')
  for (const broker of brokers) {
    for (const count of options.quick ? [1000] : [1000, 5000]) figures.push(...(await runAgainst(broker, count, options)))
  }
  return figures
}

async function runAgainst(broker: string, count: number, { quick, say }: BenchOptions): Promise<Figure[]> {
  const names = Array.from({ length: count }, (_, i) => `site-${String(i).padStart(5, '0')}`)
  const mosquitto = broker === 'mosquitto' ? await startMosquitto() : null
  const real = await createRealLoop(names, mosquitto?.url ?? null)
  const figures: Figure[] = []
  try {
    for (const messagesEach of [1, 2] as const) {
      const bare = await startBareLoop(real.controller.keys.fleet, names, mosquitto?.url ?? null, messagesEach)
      const pairs = await byTurns(quick ? 5 : 7, () => real.fanOut(messagesEach), bare.loop)
      await bare.close()
      const aim = messagesEach === 1 ? { atMost: count <= 1000 ? 1.25 : 1.5 } : null
      const figure = figureOf({ bench: fanOut.name, name: `${broker}, ${count} sites, ${messagesEach === 1 ? 'bytes ahead: 1 message each' : 'at once: 2 messages each'}`, unit: 'ms', aim }, pairs)
      figures.push(figure)
      say(`${figure.name}: ${figure.ours.median.toFixed(0)} ms, floor ${figure.floor.median.toFixed(0)} ms`)
    }
  } finally {
    await real.close()
    await mosquitto?.stop()
  }
  return figures
}

async function startBareLoop(key: Parameters<typeof createBareLoop>[1], names: readonly string[], mosquittoUrl: string | null, messagesEach: number) {
  const sender = mosquittoUrl === null ? await bareAedes() : await bareSenderOver(mosquittoUrl)
  const sites = startSites()
  await sites.order({
    do: 'connect', as: 'echoes', url: sender.url, fleet, sites: names.map((id) => ({ id: id as never, password: '' })),
    fleetKey: { keyid: key.keyid, publicKey: Buffer.from(key.pair.publicKey).toString('base64') }, ingestSecret: '', answerBytes, answerAfter: messagesEach,
  })
  return {
    loop: createBareLoop(sender, key, names, bodyOf, messagesEach),
    async close() {
      await sites.stop()
      await sender.close()
    },
  }
}

/** As long as a grant. */
const bodyOf = (site: string): string => JSON.stringify({ v: 1, fleet, site, incarnation: 1, position: { epoch: 1, generation: 2 }, issuedAtMs: Date.now(), kind: 'bare', filler: 'x'.repeat(280) })
