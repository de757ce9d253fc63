import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { openDatabase } from '../../db/client.ts'
import { migrate } from '../../db/migrate.ts'
import { nodeCrypto } from '../../functions/adapters/node/node-crypto.ts'
import { sortableIds } from '../../functions/adapters/node/sortable-ids.ts'
import { hashSecret, newSecret } from '../../functions/auth/secret.ts'
import { toBase64 } from '../../protocol/bytes.ts'
import { Problem } from '../../protocol/errors.ts'
import { linkContracts } from '../../protocol/http/links.ts'
import { makeKey } from '../support/controller.ts'
import { freePort } from '../support/free-port.ts'
import { needs } from '../support/needs.ts'
import { Program, until } from '../support/program.ts'
import { startSqld } from '../support/start-sqld.ts'
import { bundleWorker } from '../support/start-worker.ts'

const { describe, test } = needs('workerd', 'sqld')
const repository = join(import.meta.dirname, '../..')

describe('a Worker in workerd that cannot serve', () => {
  let directory: string
  let script: string
  let sqld: Awaited<ReturnType<typeof startSqld>>
  const programs: Program[] = []
  const admin = newSecret(sortableIds, 'mm')

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'murmur-worker-'))
    await mkdir(join(directory, 'bundle'))
    sqld = await startSqld(directory)
    programs.push(sqld.program)
    script = (await bundleWorker(join(directory, 'bundle'))).script
  })
  afterAll(async () => {
    for (const program of programs) await program.end()
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })

  const rightSettings = async () => ({
    MURMUR_FLEET: 'practice', MURMUR_PUBLIC_URL: 'http://127.0.0.1', MURMUR_DATABASE_URL: sqld.url, MURMUR_BROKER_URL: 'ws://127.0.0.1:9', MURMUR_BROKER_SITES_URL: 'mqtt://127.0.0.1:9',
    MURMUR_BROKER_USERNAME: 'controller', MURMUR_BROKER_PASSWORD: 'x', MURMUR_FLEET_KEY: toBase64((await makeKey('fleet')).privateKey), MURMUR_INGEST_SECRET: toBase64(new Uint8Array(32).fill(9)),
    MURMUR_FIRST_ADMIN_HASH: await hashSecret(nodeCrypto, admin),
  })

  async function start(settings: Record<string, string>): Promise<string> {
    const [port, inspectorPort] = [await freePort(), await freePort()]
    const url = `http://127.0.0.1:${port}`
    const worker = new Program('workerd', process.execPath, [
      join(repository, 'node_modules/wrangler/bin/wrangler.js'), 'dev', script, '--config', join(repository, 'wrangler.toml'), '--no-bundle', '--port', String(port), '--ip', '127.0.0.1', '--inspector-port', String(inspectorPort), '--local',
      '--persist-to', join(directory, `state-${port}`), '--show-interactive-dev-session=false', ...Object.entries(settings).flatMap(([name, value]) => ['--var', `${name}:${value}`]),
    ], { WRANGLER_SEND_METRICS: 'false', CI: '1', WRANGLER_LOG_PATH: directory, XDG_CONFIG_HOME: directory, HOME: directory }, { withChildren: true })
    programs.push(worker)
    worker.start()
    await until('workerd answers', async () => (await fetch(`${url}/healthz`)).status > 0, [worker], 90_000)
    return url
  }
  const problemAt = async (url: string, path: string) => Problem.parse(await (await fetch(`${url}${path}`)).json())

  test('for its settings lists every fault at once, on every path, and no secret', async () => {
    const url = await start({ ...(await rightSettings()), MURMUR_DATABASE_URL: 'postgres://x', MURMUR_INGEST_SECRET: 'short-secret', MURMUR_FLEAT: 'x', MURMUR_S3_BUCKET: 'objects' })
    for (const path of ['/readyz', '/v1/sites']) {
      const problem = await problemAt(url, path)
      expect([problem.status, problem.reason]).toEqual([503, 'settings'])
      expect(problem.errors?.map(({ path: name }) => name).sort()).toEqual(['MURMUR_DATABASE_URL', 'MURMUR_FLEAT', 'MURMUR_INGEST_SECRET', 'MURMUR_S3_ACCESS_KEY_ID', 'MURMUR_S3_ENDPOINT', 'MURMUR_S3_SECRET_ACCESS_KEY'])
      expect(JSON.stringify(problem)).not.toContain('short-secret')
    }
  })

  test('for its database, behind, away or ahead, says which it is, and serves as soon as it can (F57)', async () => {
    const url = await start(await rightSettings())
    expect(await problemAt(url, '/readyz')).toMatchObject({ status: 503, reason: 'migrations-pending', detail: expect.stringMatching(/0001_.*murmur infra migrate --apply/) })
    const database = await openDatabase(sqld.url)
    await migrate(database)
    await database.script("INSERT INTO migration VALUES ('9999_of_tomorrow.sql', 'x', 'now')")
    database.close()
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    const checked = await fetch(`${url}/v1/links/check`, { method: 'POST', headers: { authorization: `Bearer ${admin}` } })
    const { host, checks } = linkContracts.checkLinks.response.parse(await checked.json())
    expect([host, Object.fromEntries(checks.map(({ link, state }) => [link, state]))]).toEqual(['worker', {
      store: 'ok', database: 'ok', migrations: 'ok', clock: 'ok', outbox: 'ok',
      // no broker listens here, no cron came, and nobody installed trust
      broker: 'failing', ingest: 'not-checked', cron: 'failing', keys: expect.stringMatching(/failing|warning/),
    }])
    await sqld.program.end()
    expect(await problemAt(url, '/readyz')).toMatchObject({ status: 503, reason: 'database-away' })
    sqld.program.start()
    await until('it is ready again', async () => (await fetch(`${url}/readyz`)).ok, programs)
  })
})
