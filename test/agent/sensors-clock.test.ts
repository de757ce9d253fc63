import { createSocket, type Socket } from 'node:dgram'
import { writeFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createNodeSensors } from '../../edge-agent/host/node-sensors.ts'
import { freePort } from '../support/free-port.ts'
import { machineFiles } from '../support/machine-files.ts'
import { needs } from '../support/needs.ts'
import { Program, until } from '../support/program.ts'

const eraS = 2 ** 32
const epochS = 2_208_988_800

function writeTime(packet: Buffer, at: number, ms: number): void {
  const seconds = ms / 1000 + epochS
  packet.writeUInt32BE(Math.floor(seconds) % eraS, at)
  packet.writeUInt32BE(Math.floor((seconds % 1) * eraS), at + 4)
}

/** What a good server whose clock is `aheadMs` ahead answers. */
function answer(request: Buffer, aheadMs: number): Buffer {
  const reply = Buffer.alloc(48)
  reply[0] = (4 << 3) | 4
  reply[1] = 2
  request.copy(reply, 24, 40, 48)
  writeTime(reply, 32, Date.now() + aheadMs)
  writeTime(reply, 40, Date.now() + aheadMs)
  return reply
}

type Say = (reply: Buffer, request: Buffer) => Buffer | null

/** A time server of this machine; `change` spoils what it says, or keeps it quiet. */
async function serve(aheadMs: number, change: Say = (reply) => reply): Promise<{ server: string; asked(): number }> {
  const socket: Socket = createSocket('udp4')
  let asked = 0
  socket.on('message', (request, from) => {
    asked++
    const reply = change(answer(request, aheadMs), request)
    if (reply !== null) socket.send(reply, from.port, from.address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise<void>((resolve) => socket.close(() => resolve())))
  return { server: `127.0.0.1:${socket.address().port}`, asked: () => asked }
}

const offsetOf = async (...servers: string[]): Promise<number | string> => {
  const told = await createNodeSensors().clockOffsetMs(servers)
  return told.ok ? told.value : told.refusal
}
/** Both ends are this machine, so all that may be between them is a slow test. */
const near = (ms: number, value: number | string): boolean => typeof value === 'number' && Math.abs(value - ms) < 5000

describe('how far the clock is off', () => {
  test.each([[0], [90_000], [-86_400_000], [365 * 86_400_000], [20 * 365 * 86_400_000]])('is what a server that is %i ms ahead shows, also beyond 2036 (F30)', async (aheadMs) => {
    expect(near(aheadMs, await offsetOf((await serve(aheadMs)).server))).toBe(true)
  })

  test('is the median of those that answer, so that one liar changes little', async () => {
    const servers = await Promise.all([serve(0), serve(60_000), serve(3_600_000), serve(0, () => Buffer.from('no'))])
    expect(near(60_000, await offsetOf(...servers.map(({ server }) => server)))).toBe(true)
  })

  test('is not known where nobody is asked, and where a server cannot be found', async () => {
    expect(await offsetOf()).toBe('there is no server to ask')
    expect(await offsetOf('no-such-host.invalid')).toMatch(/^no-such-host\.invalid: /)
    expect(await offsetOf(`127.0.0.1:${await freePort()}`)).toMatch(/ECONNREFUSED/)
  })
})

const spoiled: [string, Say, RegExp][] = [
  ['answers another question than the one that was asked', (reply) => (reply.writeUInt32BE(7, 28), reply), /was not asked/],
  ['repeats what it was asked', (_, request) => request, /other than a server/],
  ['says that it does not know the time', (reply) => ((reply[0] = (3 << 6) | reply[0]!), reply), /does not know/],
  ['is sixteen steps away from a clock', (reply) => ((reply[1] = 16), reply), /does not know/],
  ['says too little', (reply) => reply.subarray(0, 47), /too little/],
  ['says no time', (reply) => reply.fill(0, 40), /of no use/],
  ['is unsure by a minute', (reply) => (reply.writeUInt32BE(60 * 65_536, 8), reply), /of no use/],
  ['sent before it received', (reply) => (writeTime(reply, 40, Date.now() - 5000), reply), /contradict/],
  ['took longer than the question was away', (reply) => (writeTime(reply, 40, Date.now() + 5000), reply), /contradict/],
]
describe('a time server is not believed that', () => {
  test.each(spoiled)('%s', async (_, change, why) => {
    expect(await offsetOf((await serve(0, change)).server)).toMatch(why)
  })
})

describe('a time server is bothered', () => {
  test('once a minute at most; in between its last answer counts', async () => {
    let nowMs = 0
    const sensors = createNodeSensors({ clock: { nowMs: () => Date.now(), monotonicMs: () => nowMs, sleep: async () => undefined } })
    const { server, asked } = await serve(50_000)
    for (let i = 0; i < 5; i++) expect(near(50_000, (await sensors.clockOffsetMs([server]) as { value: number }).value)).toBe(true)
    expect(asked()).toBe(1)
    nowMs += 60_000
    await sensors.clockOffsetMs([server])
    expect(asked()).toBe(2)
  })

  test('not for an hour when it asks to be left alone', async () => {
    let nowMs = 0
    const sensors = createNodeSensors({ clock: { nowMs: () => Date.now(), monotonicMs: () => nowMs, sleep: async () => undefined } })
    const { server, asked } = await serve(0, (reply) => {
      reply[1] = 0
      reply.write('RATE', 12)
      return reply
    })
    expect(await sensors.clockOffsetMs([server])).toMatchObject({ ok: false, refusal: expect.stringContaining('left alone (RATE)') as unknown })
    nowMs += 3_599_000
    await sensors.clockOffsetMs([server])
    expect(asked()).toBe(1)
    nowMs += 1000
    await sensors.clockOffsetMs([server])
    expect(asked()).toBe(2)
  })
})

describe('a server that never answers', () => {
  test('is given up, and one that does counts', async () => {
    const [quiet, good] = [await serve(0, () => null), await serve(20_000)]
    const sensors = createNodeSensors()
    const [both, alone] = await Promise.all([sensors.clockOffsetMs([quiet.server, good.server]), sensors.clockOffsetMs([quiet.server])])
    expect(near(20_000, both.ok ? both.value : '')).toBe(true)
    expect(alone).toMatchObject({ ok: false, refusal: expect.stringContaining('no answer within 5000 ms') as unknown })
  })
})

needs('chrony').test('chrony, with a clock of its own, is understood', async () => {
  const port = await freePort()
  const directory = machineFiles({})
  writeFileSync(`${directory}/chrony.conf`, `port ${port}\ncmdport 0\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 3\npidfile ${directory}/pid\nbindcmdaddress /\n`)
  const chrony = new Program('chronyd', '/usr/sbin/chronyd', ['-d', '-x', '-U', '-f', `${directory}/chrony.conf`])
  chrony.start()
  onTestFinished(() => chrony.end('SIGTERM'))
  let offset: number | string = ''
  await until('chrony answers', async () => near(0, (offset = await offsetOf(`127.0.0.1:${port}`))), [chrony], 20_000)
  expect(offset).toBeTypeOf('number')
})
