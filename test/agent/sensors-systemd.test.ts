import { writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createNodeSensors } from '../../edge-agent/host/node-sensors.ts'
import { callBus } from '../../edge-agent/host/sensor/call-bus.ts'
import { machineFiles, machineWith } from '../support/machine-files.ts'
import { needs } from '../support/needs.ts'
import { Program, until } from '../support/program.ts'
import { busConfig } from '../support/start-systemd.ts'

const toBus = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' }

needs('dbus').describe('a real message bus', () => {
  async function startBus(): Promise<string> {
    const directory = machineFiles({})
    const socket = join(directory, 'bus')
    writeFileSync(join(directory, 'bus.conf'), busConfig(`unix:path=${socket}`))
    const bus = new Program('dbus-daemon', 'dbus-daemon', [`--config-file=${directory}/bus.conf`, '--nofork'])
    bus.start()
    onTestFinished(() => bus.end('SIGTERM'))
    await until('the bus answers', async () => (await callBus(socket, true, { ...toBus, member: 'GetId' })).length === 1, [bus], 20_000)
    return socket
  }

  test('lets the agent in and answers its calls', async () => {
    const socket = await startBus()
    expect(await callBus(socket, true, { ...toBus, member: 'ListNames' })).toEqual([expect.arrayContaining(['org.freedesktop.DBus', expect.stringMatching(/^:1\./)])])
    expect((await callBus(socket, true, { ...toBus, member: 'GetId' }))[0]).toMatch(/^[0-9a-f]{32}$/)
  })

  test('that knows no such method, or nobody called systemd, says so', async () => {
    const socket = await startBus()
    await expect(callBus(socket, true, { ...toBus, member: 'Nonsense', body: [['a', 'b']] })).rejects.toThrow('UnknownMethod')
    expect(await createNodeSensors({ root: machineWith('run/dbus/system_bus_socket', socket) }).failedUnits()).toMatchObject({ ok: false, refusal: expect.stringContaining('org.freedesktop.DBus.Error') as unknown })
  })
})

describe('whoever is at the socket instead', () => {
  /** Says these bytes one after the other, each after it has heard something. */
  async function impostor(...says: (string | Buffer)[]): Promise<string> {
    const root = machineFiles({ 'run/dbus/none': '' })
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      const left = [...says]
      socket.on('error', () => undefined).on('data', () => void (left.length > 0 && socket.write(left.shift()!)))
    })
    await new Promise<void>((resolve) => server.listen(join(root, 'run/dbus/system_bus_socket'), resolve))
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    return root
  }
  const told = async (root: string): Promise<string> => {
    const units = await createNodeSensors({ root }).failedUnits()
    return units.ok ? 'ok' : units.refusal
  }
  /** An answer to the call with this number, with a body that is said to be of this type. */
  const reply = (serial: number, signature: string, body: Buffer, bodyLength = body.length): Buffer => {
    const fields = Buffer.from([5, 1, 117, 0, serial, 0, 0, 0, 8, 1, 103, 0, signature.length, ...Buffer.from(signature), 0])
    const head = Buffer.alloc(16)
    head.set([108, 2, 0, 1])
    head.writeUInt32LE(bodyLength, 4)
    head.writeUInt32LE(1, 8)
    head.writeUInt32LE(fields.length, 12)
    return Buffer.concat([head, fields, Buffer.alloc((8 - (fields.length % 8)) % 8), body])
  }
  const hello = reply(1, 's', Buffer.from([1, 0, 0, 0, 97, 0]))
  const word = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer)

  test('is not there: that is what is said', async () => {
    expect(await told(machineFiles({}))).toMatch(/system_bus_socket: .*ENOENT.*private: .*ENOENT/)
  })

  test('answers rightly: then no unit has failed', async () => {
    expect(await told(await impostor('OK 0123\r\n', hello, reply(2, 'a(ssssssouso)', Buffer.concat([word(0), word(0)]))))).toBe('ok')
  })

  test.each<[string, (string | Buffer)[], RegExp]>([
    ['lets nobody in', ['REJECTED EXTERNAL\r\n'], /REJECTED/],
    ['talks without an end', ['x'.repeat(100_000)], /too much/],
    ['speaks no D-Bus', ['OK 0\r\n', Buffer.alloc(64)], /byte order/],
    ['announces four gigabytes', ['OK 0\r\n', hello, reply(2, 's', Buffer.alloc(0), 2 ** 32 - 1)], /bytes long/],
    ['ends too early', ['OK 0\r\n', hello, reply(2, 's', word(1000))], /too early/],
    ['has an array that goes beyond its end', ['OK 0\r\n', hello, reply(2, 'as', word(1000))], /beyond its end/],
    ['has elements that take no room', ['OK 0\r\n', hello, reply(2, 'a()', Buffer.concat([word(8), Buffer.alloc(12)]))], /without fields/],
    ['is nested without an end', ['OK 0\r\n', hello, reply(2, `${'('.repeat(100)}y${')'.repeat(100)}`, Buffer.alloc(8))], /nested/],
    ['names a type that is none', ['OK 0\r\n', hello, reply(2, 'z', Buffer.alloc(8))], /type "z"/],
    ['answers with something else', ['OK 0\r\n', hello, reply(2, 's', Buffer.from([1, 0, 0, 0, 97, 0]))], /something else/],
  ])('%s: that cannot be told', async (_, says, why) => {
    expect(await told(await impostor(...says))).toMatch(why)
  })

  test('says nothing: it is given up after five seconds', async () => {
    expect(await told(await impostor())).toContain('no answer within 5000 ms')
  })
})
