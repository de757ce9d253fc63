import { afterAll, beforeAll, expect } from 'vitest'
import { refuseStatements, type DecideFate, type DatabaseFate } from '../support/hrana-proxy.ts'
import { needs } from '../support/needs.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { sleep } from '../support/program.ts'
import { startRig, type Rig } from './rig.ts'
import { runScenario, type World } from './scenario.ts'

const { describe, test } = needs('workerd', 'sqld')
const pass: DecideFate = () => 'pass'
const triesMax = 20

/** The world as it should be. */
const kind = (rig: Rig): World => ({ post: (sites, messages) => sites.post(messages), tick: () => rig.worker.cron() })
/** A bridge posts a batch until it is taken. */
const persistent = (rig: Rig): World => {
  const again = async (work: () => Promise<unknown>): Promise<unknown> => {
    for (let tries = 1; ; tries++) {
      try {
        return await work()
      } catch (error) {
        if (tries === triesMax) throw error
        await sleep(20)
      }
    }
  }
  return { post: (sites, messages) => again(() => sites.post(messages)), tick: () => rig.worker.cron().catch(() => undefined) }
}

describe('a controller that remembers nothing comes to the end state of one clean run', () => {
  let rig: Rig
  let forgetful: Rig
  let clean: Awaited<ReturnType<typeof runScenario>>
  beforeAll(async () => {
    rig = await startRig()
    forgetful = await startRig({ entry: 'test/runtime/forgetful-worker.ts' })
    clean = await runScenario(rig, kind(rig))
  })
  afterAll(async () => {
    await rig?.stop()
    await forgetful?.stop()
  })

  test('which is: ten sites succeeded, two went back, and every directive was published', () => {
    expect(clean['counters']).toEqual(clean['recount'])
    expect(clean['counters']!.reduce<number>((sum, row) => sum + (row as { n: number }).n, 0)).toBe(12)
    expect(clean['rollouts']).toEqual([{ name: 'scenario', state: 'completed', pauses: '[]', members: 12, abort_mode: null }])
    expect(clean['deployments']!.map((row) => (row as { state: string }).state).sort()).toEqual([...Array<string>(2).fill('rolled-back'), ...Array<string>(10).fill('succeeded')])
    expect(clean['published']).toHaveLength(24)
  })

  test('with a fresh isolate for each request', async () => {
    expect(await runScenario(forgetful, kind(forgetful))).toEqual(clean)
  })

  test('with eight ticks at once, every time, and every batch of reports twice at the same moment (F48, F49, F54)', async () => {
    const world = persistent(forgetful)
    const eight = () => Promise.all(Array.from({ length: 8 }, () => world.tick()))
    const twice: World = { post: (sites, messages) => Promise.all([world.post(sites, messages), world.post(sites, messages), world.tick()]), tick: eight }
    expect(await runScenario(forgetful, twice)).toEqual(clean)
  })

  test('with reports that come again and again, at last all of them once more and the newest first (F36, F49)', async () => {
    const all: Parameters<World['post']>[1][] = []
    let speakers: Parameters<World['post']>[0] | null = null
    const world: World = {
      async post(sites, messages) {
        all.push(messages)
        speakers = sites
        for (let time = 0; time < 3; time++) await sites.post(messages)
      },
      async tick() {
        for (const messages of [...all].reverse()) await speakers!.post([...messages].reverse())
        await forgetful.worker.cron()
      },
    }
    expect(await runScenario(forgetful, world)).toEqual(clean)
  })

  for (const fate of ['cut-before', 'cut-after'] as const) {
    test(`with ticks and reports that lose their database at every single request in turn, ${fate === 'cut-before' ? 'before it was done' : 'done, but never heard of'} (F48, F50, F52)`, async () => {
      const { proxy } = forgetful
      let cuts = 0
      /** Does it over and over, each time getting one request further, until it gets through unharmed. */
      const furtherEachTime = async (work: () => Promise<unknown>): Promise<void> => {
        for (let n = 1, cut = true; cut; n++) {
          cut = false
          const from = proxy.count
          proxy.decide = (request): DatabaseFate => {
            if (request.n !== from + n) return 'pass'
            cut = true
            cuts++
            return fate
          }
          await work().catch(() => undefined)
        }
        proxy.decide = pass
      }
      const world: World = { post: (sites, messages) => furtherEachTime(() => sites.post(messages)), tick: () => furtherEachTime(() => forgetful.worker.cron()) }
      // whether a rollout was created when its answer is lost is another question (idempotency)
      try {
        expect(await runScenario(forgetful, world)).toEqual(clean)
      } finally {
        proxy.decide = pass
      }
      expect(cuts).toBeGreaterThan(50)
    })
  }

  test('with SQLITE_BUSY for one in ten requests to the database (F51)', async () => {
    const fraction = seededFractions(51)
    let refused = 0
    forgetful.proxy.decide = (request) => {
      if (fraction() >= 0.1) return 'pass'
      refused++
      return refuseStatements(request, 'SQLITE_BUSY', 'database is locked')
    }
    try {
      const world = persistent(forgetful)
      expect(await runScenario(forgetful, { post: world.post, tick: () => Promise.all([world.tick(), world.tick()]) })).toEqual(clean)
    } finally {
      forgetful.proxy.decide = pass
    }
    expect(refused).toBeGreaterThan(10)
  })

  test('with workerd killed by SIGKILL in the middle of ticks, and started again (F48, F50)', async () => {
    const { proxy, worker } = rig
    const world = kind(rig)
    let ticks = 0
    const killed: World = {
      post: world.post,
      async tick() {
        const from = proxy.count
        const n = 2 + 3 * ticks++
        proxy.decide = (request) => {
          if (request.n !== from + n) return 'pass'
          proxy.decide = pass
          return worker.program.end('SIGKILL').then(() => 'cut-after' as const)
        }
        await worker.cron().catch(() => undefined)
        const alive = proxy.decide !== pass
        proxy.decide = pass
        if (!alive) await worker.start()
        await worker.cron()
      },
    }
    expect(await runScenario(rig, killed)).toEqual(clean)
  })
})
