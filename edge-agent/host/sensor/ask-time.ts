import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { ok, refuse, type Result } from '../../../protocol/result.ts'

const port = 123
const serversMax = 8
const spanMs = 5000
/** No server is asked more often; in between its last answer counts. */
const pauseMs = 60_000
/** Nor for so long when it has asked to be left alone (a "kiss of death"). */
const leftAloneMs = 3_600_000
const packetBytes = 48
/** From 1900 to 1970. Seconds with the first bit unset are those after 2036 (RFC 4330 §3). */
const ntpEpochS = 2_208_988_800
const eraS = 2 ** 32
/** A server whose own time is less sure than this is of no use (RFC 5905 §A.5.1.1). */
const distanceMsMax = 16_000

export interface TimeServers {
  /** Milliseconds that this machine's clock is behind: the median of those servers that answered. A refusal when none did. */
  offsetMs(servers: readonly string[]): Promise<Result<number, string>>
}
type Clock = { nowMs(): number; monotonicMs(): number }
type Asked = { atMs: number; answer: Promise<Result<number, string>>; leaveAlone: boolean }

class KissOfDeath extends Error {}

/** 64 bits: seconds and their fraction. */
function timeMs(packet: Buffer, at: number): number {
  const seconds = packet.readUInt32BE(at)
  return ((seconds < 2 ** 31 ? seconds + eraS : seconds) - ntpEpochS) * 1000 + (packet.readUInt32BE(at + 4) / eraS) * 1000
}

/** 32 bits: seconds and their fraction. */
const spanMsAt = (packet: Buffer, at: number): number => (packet.readUInt32BE(at) / 65_536) * 1000

/**
 * What a reply says about this machine's clock (RFC 4330 §5, RFC 5905 §8): half of what it took longer on the way there than on the way
 * back. Throws for one that is of no use. `sentAtMs` and `receivedAtMs` are by this machine's clock.
 */
function offsetIn(packet: Buffer, nonce: Buffer, sentAtMs: number, receivedAtMs: number): number {
  const [head, stratum] = [packet[0]!, packet[1]!]
  if ((head & 7) !== 4) throw new Error('it answers as something other than a server')
  if (!packet.subarray(24, 32).equals(nonce)) throw new Error('it answers a question that was not asked')
  if (stratum === 0) throw new KissOfDeath(`it asks to be left alone (${packet.toString('latin1', 12, 16).replace(/[^A-Z0-9]/g, '')})`)
  if (head >> 6 === 3 || stratum > 15) throw new Error('it does not know the time itself')
  if (packet.readUInt32BE(40) === 0 || spanMsAt(packet, 4) / 2 + spanMsAt(packet, 8) >= distanceMsMax) throw new Error('its time is of no use')
  const [cameInMs, wentOutMs] = [timeMs(packet, 32), timeMs(packet, 40)]
  if (wentOutMs < cameInMs || wentOutMs - cameInMs > receivedAtMs - sentAtMs + 1) throw new Error('its times contradict each other')
  return (cameInMs - sentAtMs + (wentOutMs - receivedAtMs)) / 2
}

/** `host`, `host:port`, an address of IPv6 as it is or in brackets with a port. */
function placeOf(server: string): { host: string; port: number } {
  const [, bracketed, plain, given] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(server) ?? []
  return { host: bracketed ?? plain ?? server, port: given === undefined ? port : Number(given) }
}

/** Throws when there is no answer of use within five seconds. */
async function askOne(server: string, clock: Clock): Promise<number> {
  let timer: NodeJS.Timeout | undefined
  let socket: Socket | undefined
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`no answer within ${spanMs} ms`)), spanMs)))
  const answered = async (): Promise<number> => {
    const place = placeOf(server)
    const { address, family } = await lookup(place.host)
    socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    return exchange(socket, { address, port: place.port }, clock)
  }
  try {
    return await Promise.race([answered(), late])
  } finally {
    clearTimeout(timer)
    socket?.close()
  }
}

function exchange(socket: Socket, { address, port: to }: { address: string; port: number }, clock: Clock): Promise<number> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    // A connected socket takes in nothing from anybody else.
    socket.connect(to, address, () => {
      // In place of the time, which is nobody's business: a reply has to repeat it.
      const nonce = randomBytes(8)
      const request = Buffer.alloc(packetBytes)
      request[0] = (4 << 3) | 3
      nonce.copy(request, 40)
      const [sentAtMs, startMs] = [clock.nowMs(), clock.monotonicMs()]
      socket.on('message', (packet) => {
        try {
          if (packet.length < packetBytes) throw new Error('it answers too little')
          resolve(offsetIn(packet, nonce, sentAtMs, sentAtMs + clock.monotonicMs() - startMs))
        } catch (error) {
          reject(error)
        }
      })
      socket.send(request)
    })
  })
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** A client of SNTP that bothers nobody: one question a minute to each server, none for an hour where it asks for that. */
export function createTimeServers(clock: Clock): TimeServers {
  const asked = new Map<string, Asked>()

  function ask(server: string): Promise<Result<number, string>> {
    const before = asked.get(server)
    if (before !== undefined && clock.monotonicMs() - before.atMs < (before.leaveAlone ? leftAloneMs : pauseMs)) return before.answer
    const now: Asked = { atMs: clock.monotonicMs(), answer: Promise.resolve(refuse('not asked yet')), leaveAlone: false }
    now.answer = askOne(server, clock).then(ok, (error: unknown) => {
      now.leaveAlone = error instanceof KissOfDeath
      return refuse(`${server}: ${error instanceof Error ? error.message : String(error)}`)
    })
    asked.set(server, now)
    return now.answer
  }

  return {
    async offsetMs(servers) {
      const answers = await Promise.all([...new Set(servers)].slice(0, serversMax).map(ask))
      for (const server of asked.keys()) if (!servers.includes(server)) asked.delete(server)
      const offsets = answers.filter((answer) => answer.ok).map(({ value }) => value)
      return offsets.length > 0 ? ok(median(offsets)) : refuse(answers.map((answer) => (answer.ok ? '' : answer.refusal)).join('; ') || 'there is no server to ask')
    },
  }
}
