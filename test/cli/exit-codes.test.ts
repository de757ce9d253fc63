import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describeExitCodes, exitCodes, exitOfErrorCode } from '../../cli/exit-codes.ts'
import { retryDelayMs } from '../../cli/retry.ts'
import { errorCodes, type ErrorCode } from '../../protocol/errors.ts'
import { murmurAlone, testIo } from './command.support.ts'

let directory: string
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), 'murmur-cli-'))))
afterEach(() => rm(directory, { recursive: true, force: true }))

/** A controller that answers with these, one after the other; the last again and again. */
function answering(...responses: (() => Response)[]): { fetch: typeof fetch; requests: Request[] } {
  const requests: Request[] = []
  return {
    requests,
    fetch: async (input, init) => {
      requests.push(new Request(input, init))
      return responses[Math.min(requests.length, responses.length) - 1]!()
    },
  }
}

const problem = (code: ErrorCode, more: object = {}, headers: Record<string, string> = {}) => (): Response =>
  new Response(JSON.stringify({ type: 't', title: 't', status: errorCodes[code].status, code, detail: `it is ${code}`, retry: errorCodes[code].retry, requestId: 'request-1', ...more }), { status: errorCodes[code].status, headers })
const json = (value: unknown) => (): Response => new Response(JSON.stringify(value))
const empty = json({ items: [], next: null })

const run = (args: string[], fetch: typeof globalThis.fetch, more: Parameters<typeof testIo>[1] = {}) => murmurAlone(['--url', 'http://controller.test', ...args], testIo(directory, { fetch, ...more }))

describe('the exit code', () => {
  test.each(Object.keys(errorCodes) as ErrorCode[])('of a problem %s is the one in the table', async (code) => {
    const ended = await run(['site', 'list'], answering(problem(code)).fetch)
    expect(ended.code).toBe(exitCodes[exitOfErrorCode[code]].code)
    expect(ended.err).toContain(`it is ${code}`)
    expect(ended.out).toBe('')
  })

  test('numbers are all different, and help lists each', () => {
    const codes = Object.values(exitCodes).map(({ code }) => code)
    expect(new Set(codes).size).toBe(codes.length)
    for (const { code, meaning } of Object.values(exitCodes)) expect(describeExitCodes()).toContain(`${code}  ${meaning}`)
  })

  test('is 2 for a wrong command line, and nothing is asked of the controller', async () => {
    const { fetch, requests } = answering(empty)
    const lines = [
      ['nonsense'], ['site'], ['site', 'list', '--nonsense'], ['site', 'add'], ['site', 'add', 'Not A Name'], ['site', 'list', '-o', 'xml'], ['site', 'list', '-l', 'a b c'],
      ['rollout', 'create', 'sign@1.0.0'], ['rollout', 'plan', 'sign@1.0.0', '-l', ''], ['rollout', 'create', 'sign', '--all'], ['rollout', 'create', 'sign@1.0.0', '--all', '--max-parallel', 'many'],
      ['rollout', 'abort', `ro_${'0'.repeat(26)}`], ['rollout', 'show', 'not-an-id'], ['token', 'create', 'ci'], ['release', 'publish', 'nowhere.yaml', '--key', 'k'], ['key', 'show', 'nowhere'],
    ]
    for (const line of lines) expect([line, (await run(line, fetch)).code]).toEqual([line, 2])
    expect(requests).toEqual([])
  })

  test('is 0 for help and 6 when nobody answers', async () => {
    expect((await run(['--help'], answering(empty).fetch)).code).toBe(0)
    expect((await run(['help', 'rollout', 'create'], answering(empty).fetch)).out).toContain('--max-parallel')
    const dead: typeof fetch = async () => { throw new TypeError('fetch failed', { cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) }) }
    expect(await run(['site', 'list'], dead)).toMatchObject({ code: 6, err: expect.stringContaining('ECONNREFUSED') })
  })

  test('is 6 or 1, never a crash, when something answers that is no controller', async () => {
    expect((await run(['site', 'list'], answering(() => new Response('<html>', { status: 502 })).fetch)).code).toBe(6)
    expect((await run(['site', 'list'], answering(() => new Response('<html>')).fetch)).code).toBe(1)
    expect((await run(['site', 'list'], answering(json({ items: 3 })).fetch)).err).toContain('items')
    expect(await run(['site', 'list'], answering(() => new Response(null, { status: 302, headers: { location: 'https://login.test' } })).fetch)).toMatchObject({ code: 2, err: expect.stringContaining('login.test') })
  })
})

describe('requests', () => {
  test('are repeated while that may help, at least as late as the server asks', async () => {
    const waits: number[] = []
    const { fetch, requests } = answering(problem('unavailable', {}, { 'retry-after': '3' }), problem('internal'), empty)
    const ended = await run(['site', 'list'], fetch, { sleep: async (spanMs) => void waits.push(spanMs) })
    expect([ended.code, requests.length, waits.length]).toEqual([0, 3, 2])
    expect(waits[0]).toBeGreaterThanOrEqual(3000)
  })

  test('that cannot be known to be harmless are not repeated after a lost answer', async () => {
    let calls = 0
    const lost: typeof fetch = async () => {
      calls++
      throw new TypeError('fetch failed', { cause: Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }) })
    }
    expect((await run(['token', 'create', 'ci', '--role', 'viewer'], lost)).code).toBe(6)
    expect(calls).toBe(1)
    calls = 0
    await run(['site', 'list'], lost)
    expect(calls).toBe(5)
  })

  test('that change something carry one Idempotency-Key through all their attempts', async () => {
    const { fetch, requests } = answering(problem('unavailable'), problem('not-found'))
    await run(['rollout', 'pause', `ro_${'0'.repeat(26)}`], fetch)
    const keys = requests.map((request) => request.headers.get('idempotency-key'))
    expect(keys).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), keys[0]])
  })

  test('wait with full jitter below a doubling bound, and end', () => {
    expect([1, 2, 3, 4].map((attempt) => retryDelayMs(attempt, 0, 1))).toEqual([500, 1000, 2000, 4000])
    expect(retryDelayMs(1, 0, 0)).toBe(0)
    expect(retryDelayMs(2, 7000, 0.5)).toBe(7000)
    expect(retryDelayMs(5, 0, 1)).toBeNull()
    expect(retryDelayMs(1, 600_000, 1)).toBeNull()
  })
})

describe('the controller', () => {
  const tokenFor = async (args: string[], env: Record<string, string>, cwd = directory): Promise<[string, string | null] | string> => {
    const { fetch, requests } = answering(empty)
    const ended = await murmurAlone([...args, 'site', 'list'], testIo(cwd, { fetch, env }))
    return requests[0] === undefined ? ended.err : [new URL(requests[0].url).host, requests[0].headers.get('authorization')]
  }

  test('is named by flags, else the environment, else the nearest .murmur/cli.json upwards', async () => {
    const below = join(directory, 'a', 'b')
    await mkdir(below, { recursive: true })
    expect(await tokenFor([], {})).toContain('no controller is named')
    await mkdir(join(directory, '.murmur'))
    await writeFile(join(directory, '.murmur', 'cli.json'), JSON.stringify({ url: 'http://file.test:8080', token: 'from-file' }))
    expect(await tokenFor([], {}, below)).toEqual(['file.test:8080', 'Bearer from-file'])
    expect(await tokenFor([], { MURMUR_TOKEN: 'from-env' }, below)).toEqual(['file.test:8080', 'Bearer from-env'])
    expect(await tokenFor(['--url', 'http://file.test:8080/', '--token', 'from-flag'], { MURMUR_TOKEN: 'from-env' }, below)).toEqual(['file.test:8080', 'Bearer from-flag'])
  })

  test("the file's token goes to the file's controller only (F70)", async () => {
    await mkdir(join(directory, '.murmur'))
    await writeFile(join(directory, '.murmur', 'cli.json'), JSON.stringify({ url: 'http://file.test', token: 'from-file' }))
    expect(await tokenFor([], { MURMUR_URL: 'http://other.test' })).toEqual(['other.test', null])
    await writeFile(join(directory, '.murmur', 'cli.json'), '{')
    expect(await tokenFor([], {})).toContain('it is not JSON')
  })
})
