import { sleep } from '../test/support/program.ts'
import { hasMosquitto, startMosquitto } from './fan-out/start-mosquitto.ts'
import { startBareLoop } from './fault-webhook/bare-loop.ts'
import { startFaultLoop, type FaultLoop } from './fault-webhook/real-loop.ts'
import { spreadOf, type Bench, type Figure } from './figure.ts'

/**
 * From a fault at a site to its signed webhook.
 *
 * Workload: the controller as a process of its own on a database file, a real mosquitto, and sites that publish sealed alarm reports; a
 * receiver notes when each alarm reaches it. One fault at a time; the same with an endpoint that is dead and one that drips;
 * and 10,000 faults of 100 sites within a minute, with both of these.
 * Floor: a bare client that publishes, a subscriber that signs with HMAC and posts to the same receiver.
 * Counted: milliseconds from before the publishing to the whole request at the receiver.
 */
export const faultWebhook: Bench = { name: 'fault-webhook', about: 'from a fault at a site to its signed webhook, against a bare loop of broker, HMAC and POST', run }

const stormSites = 100
/** So many that none has more alarms than are kept of a site. */
const fewSites = 10

async function run({ quick, say }: { quick: boolean; say(line: string): void }): Promise<Figure[]> {
  if (!hasMosquitto()) {
    say('left out: mosquitto is not installed (apt-get install mosquitto)')
    return []
  }
  const broker = await startMosquitto()
  try {
    const faults = quick ? 50 : 300
    const floor = await bareTimes(broker.url, faults)
    const figures: Figure[] = []
    for (const [name, others] of [['one at a time', []], ['beside a dead and a dripping endpoint', ['dead', 'dripping']]] as const) {
      const loop = await startFaultLoop(broker.url, fewSites, others)
      try {
        const times = await oneByOne(loop, faults)
        figures.push(...percentiles(name, times, floor))
      } finally {
        await loop.stop()
      }
    }
    figures.push(...(await storm(broker.url, quick ? 1000 : 10_000, quick ? 6000 : 60_000, floor, say)))
    return figures
  } finally {
    await broker.stop()
  }
}

async function bareTimes(url: string, faults: number): Promise<number[]> {
  const loop = await startBareLoop(url)
  try {
    return await oneByOne(loop, faults)
  } finally {
    await loop.stop()
  }
}

/** Each fault a moment after the one before it has arrived, so that none waits for another. The first few warm up and do not count. */
async function oneByOne(loop: Pick<FaultLoop, 'raise' | 'arrival'>, faults: number): Promise<number[]> {
  const times: number[] = []
  for (let i = -10; i < faults; i++) {
    const entity = `node=node-0.filesystem=/data/${i + 10}`
    const startedMs = performance.now()
    await loop.raise((i + 10) % fewSites, entity)
    times.push((await loop.arrival(entity)) - startedMs)
    await sleep(5 + ((i + 10) % 10))
  }
  return times.slice(10)
}

async function storm(url: string, faults: number, spanMs: number, floor: readonly number[], say: (line: string) => void): Promise<Figure[]> {
  const loop = await startFaultLoop(url, stormSites, ['dead', 'dripping'])
  try {
    const before = loop.residentBytes()
    const raised = new Map<string, number>()
    const startedMs = performance.now()
    const sent: Promise<unknown>[] = []
    for (let i = 0; i < faults; i++) {
      const dueMs = startedMs + (i * spanMs) / faults
      if (dueMs > performance.now() + 1) await sleep(dueMs - performance.now())
      const entity = `node=node-0.filesystem=/data/${i}`
      raised.set(entity, performance.now())
      sent.push(loop.raise(i % stormSites, entity))
    }
    await Promise.all(sent)
    const times = await Promise.all([...raised].map(async ([entity, atMs]) => (await loop.arrival(entity)) - atMs))
    say(`storm: ${faults} faults in ${Math.round(spanMs / 1000)} s, all told in ${loop.messages()} messages; the controller grew by ${((loop.residentBytes() - before) / 1e6).toFixed(0)} MB`)
    return percentiles(`${faults.toLocaleString('en')} faults in ${Math.round(spanMs / 1000)} s`, times, floor)
  } finally {
    await loop.stop()
  }
}

const aims = { 50: 50, 99: 500 }

function percentiles(name: string, times: readonly number[], floor: readonly number[]): Figure[] {
  const at = (values: readonly number[], share: number): number => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor((values.length * share) / 100))]!
  return ([50, 99] as const).map((share) => {
    const [ours, bare] = [at(times, share), at(floor, share)]
    return { bench: faultWebhook.name, name: `${name}, p${share}`, unit: 'ms', ours: { ...spreadOf(times), median: ours }, floor: { ...spreadOf(floor), median: bare }, ratio: spreadOf([ours / bare]), aim: { oursAtMost: aims[share] }, repetitions: times.length }
  })
}
