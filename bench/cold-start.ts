import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase } from '../db/client.ts'
import { migrate } from '../db/migrate.ts'
import { bundleController } from '../infra/server/bundle-controller.ts'
import { byTurns } from './by-turns.ts'
import { exitMs, firstAnswerMs } from './cold-start/time-process.ts'
import { prepareWorkerd } from './cold-start/prepare-workerd.ts'
import { startMeter } from './cost/meter.ts'
import { figureOf, type Bench } from './figure.ts'

const aim = { atMost: 1.5 }
const plainServer = `require('node:http').createServer((q, a) => a.end('ok')).listen(Number(process.env.PORT), '127.0.0.1')`

/**
 * How long until a controller that is not there is there. On Node: the shipped bundle, once until its code is loaded (it then refuses a wrong setting and
 * ends; against Node alone, and against what it cannot do without: HTTP, fetch and the native database library), once until it has opened an existing
 * data directory and answers. On workerd: until a process that holds nothing but the Worker answers its first request.
 */
export const coldStart: Bench = {
  name: 'cold-start',
  about: 'the controller from nothing to its first answer, against bare Node and an empty Worker',
  async run({ quick, say }) {
    const directory = await mkdtemp(join(tmpdir(), 'murmur-bench-'))
    const meter = await startMeter()
    try {
      const repetitions = quick ? 5 : 15
      const server = join(directory, 'server')
      await bundleController(server)
      const controller = join(server, 'lib/controller/controller.mjs')
      const indispensable = `require('node:http'); Response; require(${JSON.stringify(join(server, 'node_modules/libsql'))})`
      const wrong = { PORT: 'x' }
      const settings = { MURMUR_DATA: join(directory, 'data'), MURMUR_BROKER_PORT: '0', MURMUR_LOG: 'error' }
      await firstAnswerMs(process.execPath, [controller], settings, '/healthz')
      say('the Node bundle, its code loaded')
      const loadMs = () => exitMs(process.execPath, [controller], wrong, 1)
      const loaded = await byTurns(repetitions, loadMs, () => exitMs(process.execPath, ['-e', '0'], {}, 0))
      const loadedBoth = await byTurns(repetitions, loadMs, () => exitMs(process.execPath, ['-e', indispensable], {}, 0))
      say('the Node bundle, its first answer')
      const answered = await byTurns(repetitions, () => firstAnswerMs(process.execPath, [controller], settings, '/healthz'), () => firstAnswerMs(process.execPath, ['-e', plainServer], {}, '/'))
      const figures = [
        figureOf({ bench: 'cold-start', name: 'Node: code loaded, against node -e 0', unit: 'ms', aim }, loaded),
        figureOf({ bench: 'cold-start', name: 'Node: code loaded, against HTTP, fetch and libsql', unit: 'ms', aim: null }, loadedBoth),
        figureOf({ bench: 'cold-start', name: 'Node: first answer, against a bare HTTP server', unit: 'ms', aim: null }, answered),
      ]
      const [ours, empty] = ['worker', 'empty'].map((name) => join(directory, name)) as [string, string]
      await Promise.all([mkdir(ours), mkdir(empty)])
      await writeFile(join(empty, 'worker.js'), `export default { fetch: () => new Response('ok') }\n`)
      const database = await openDatabase(meter.databaseUrl)
      await migrate(database)
      database.close()
      const [worker, nothing] = [await prepareWorkerd(ours, meter.databaseUrl), await prepareWorkerd(empty, null)]
      say('workerd, its first answer')
      const first = await byTurns(repetitions, () => firstAnswerMs(worker.program, worker.args, {}, '/healthz', worker.port), () => firstAnswerMs(nothing.program, nothing.args, {}, '/', nothing.port))
      return [...figures, figureOf({ bench: 'cold-start', name: 'workerd: first answer, against an empty Worker', unit: 'ms', aim: null }, first)]
    } finally {
      await meter.close()
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    }
  },
}
