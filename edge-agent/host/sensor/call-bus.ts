import { connect, type Socket } from 'node:net'
import { lengthOf, messageBytesMax, readMessage, writeCall, type MethodCall } from './bus-message.ts'

const spanMs = 5000
const authLineBytesMax = 1024

/**
 * Calls one method over a Unix socket and returns what it answers. On a message bus (`isBus`) whoever comes in says hello first; the socket of systemd
 * itself wants none. Throws when nothing is there, when it refuses, and when it says nothing of use within five seconds.
 */
export async function callBus(socketPath: string, isBus: boolean, call: Omit<MethodCall, 'serial'>): Promise<unknown[]> {
  const socket = connect(socketPath)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`no answer within ${spanMs} ms`)), spanMs)))
  try {
    return await Promise.race([converse(socket, isBus, call), late])
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

async function converse(socket: Socket, isBus: boolean, call: Omit<MethodCall, 'serial'>): Promise<unknown[]> {
  const incoming = createIncoming(socket)
  // The kernel tells the other side who this is; the user's number in hexadecimal digits only says who is meant. BEGIN goes with it: systemd
  // leaves a message lying that comes in together with it, until more comes.
  socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(process.getuid?.() ?? 0)).toString('hex')}\r\nBEGIN\r\n`)
  const line = await incoming.line()
  if (!line.startsWith('OK ')) throw new Error(`it does not let this agent in: ${line}`)
  const ask = async (what: MethodCall): Promise<unknown[]> => {
    socket.write(writeCall(what))
    for (;;) {
      const message = readMessage(await incoming.message())
      if (message.replySerial !== what.serial) continue
      if (message.type === 'error') throw new Error(`${message.errorName ?? 'refused'}${typeof message.body[0] === 'string' ? `: ${message.body[0]}` : ''}`)
      return message.body
    }
  }
  if (isBus) await ask({ serial: 1, destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus', member: 'Hello' })
  return ask({ serial: 2, ...call })
}

/** What comes in, as lines first and as messages then. */
function createIncoming(socket: Socket): { line(): Promise<string>; message(): Promise<Buffer> } {
  let held = Buffer.alloc(0)
  const pieces = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  async function more(bytesMax: number): Promise<void> {
    if (held.length > bytesMax) throw new Error('it says too much')
    const { value, done } = await pieces.next()
    if (done === true) throw new Error('it hung up')
    held = Buffer.concat([held, value])
  }
  const take = (length: number): Buffer => {
    const taken = Buffer.from(held.subarray(0, length))
    held = held.subarray(length)
    return taken
  }
  return {
    async line() {
      for (;;) {
        const end = held.indexOf('\r\n')
        if (end >= 0) return take(end + 2).toString('latin1', 0, end)
        await more(authLineBytesMax)
      }
    },
    async message() {
      for (;;) {
        const length = lengthOf(held)
        if (length !== null && held.length >= length) return take(length)
        await more(messageBytesMax)
      }
    },
  }
}
