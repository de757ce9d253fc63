/**
 * Messages of D-Bus (its specification 0.43, "Marshaling" and "Message Protocol"), as far as a client needs them that calls
 * methods with strings and reads what comes back.
 */
export type MethodCall = { serial: number; destination?: string; path: string; interface: string; member: string; body?: readonly (readonly string[])[] }
export type BusMessage = { type: 'return' | 'error' | 'other'; replySerial: number | null; errorName: string | null; body: unknown[] }

/** Longer messages are refused: thousands of failed units fit into it. */
export const messageBytesMax = 4 * 1024 * 1024
const headBytes = 16
const depthMax = 16
const alignments: Record<string, number> = { y: 1, g: 1, v: 1, n: 2, q: 2, b: 4, i: 4, u: 4, s: 4, o: 4, a: 4, x: 8, t: 8, d: 8, '(': 8, '{': 8 }

class BusFault extends Error {}
function insist(holds: boolean, what: string): asserts holds {
  if (!holds) throw new BusFault(`not a message of D-Bus: ${what}`)
}

const aligned = (at: number, to: number): number => Math.ceil(at / to) * to

class Writer {
  #bytes: number[] = []
  get length(): number {
    return this.#bytes.length
  }
  pad(to: number): this {
    while (this.#bytes.length % to !== 0) this.#bytes.push(0)
    return this
  }
  byte(value: number): this {
    this.#bytes.push(value)
    return this
  }
  word(value: number): this {
    this.pad(4).#bytes.push(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24)
    return this
  }
  raw(bytes: Uint8Array): this {
    this.#bytes.push(...bytes)
    return this
  }
  string(text: string): this {
    const bytes = Buffer.from(text)
    return this.word(bytes.length).raw(bytes).byte(0)
  }
  signature(text: string): this {
    return this.byte(text.length).raw(Buffer.from(text)).byte(0)
  }
  array(write: (to: Writer) => void): this {
    const inner = new Writer()
    write(inner)
    return this.word(inner.length).raw(inner.bytes())
  }
  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes)
  }
}

/** A call whose arguments are lists of strings, little-endian. */
export function writeCall(call: MethodCall): Uint8Array {
  const body = new Writer()
  for (const list of call.body ?? []) body.array((to) => list.forEach((text) => to.string(text)))
  const signature = 'as'.repeat(call.body?.length ?? 0)
  const fields = new Writer()
  const field = (code: number, type: string, value: string): void => void (type === 'g' ? fields.pad(8).byte(code).signature(type).signature(value) : fields.pad(8).byte(code).signature(type).string(value))
  field(1, 'o', call.path)
  field(2, 's', call.interface)
  field(3, 's', call.member)
  if (call.destination !== undefined) field(6, 's', call.destination)
  if (signature !== '') field(8, 'g', signature)
  // l: little-endian; 1: a method call; 2: nothing is to be started for it; 1: the protocol's version
  const head = new Writer().raw(Buffer.from([108, 1, 2, 1])).word(body.length).word(call.serial).word(fields.length).raw(fields.bytes()).pad(8)
  return Buffer.concat([head.bytes(), body.bytes()])
}

/** How long the message is that begins here, or null as long as that cannot be told. Throws where it is none, or is too long. */
export function lengthOf(bytes: Buffer): number | null {
  if (bytes.length < headBytes) return null
  insist(bytes[0] === 108 || bytes[0] === 66, 'its first byte names no byte order')
  insist(bytes[3] === 1, `version ${bytes[3]!} of the protocol`)
  const word = (at: number): number => (bytes[0] === 108 ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at))
  const length = aligned(headBytes + word(12), 8) + word(4)
  insist(length <= messageBytesMax, `it is ${length} bytes long`)
  return length
}

/** Reads values one after the other; each step is checked against the end of the message. */
class Reader {
  readonly #view: DataView
  readonly #little: boolean
  #at = 0
  constructor(bytes: Uint8Array, little: boolean) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#little = little
  }
  #take(length: number, alignment: number): number {
    const start = aligned(this.#at, alignment)
    insist(start + length <= this.#view.byteLength, 'it ends too early')
    this.#at = start + length
    return start
  }
  #length(): number {
    return this.#view.getUint32(this.#take(4, 4), this.#little)
  }
  #text(length: number): string {
    const at = this.#take(length + 1, 1)
    return Buffer.from(this.#view.buffer, this.#view.byteOffset + at, length).toString('utf8')
  }
  #signature(): string {
    return this.#text(this.#view.getUint8(this.#take(1, 1)))
  }
  /** One complete type from the front of `signature`: its value, and what of the signature is left. */
  value(signature: string, depth = 0): { value: unknown; rest: string } {
    insist(depth <= depthMax, 'it is nested too deeply')
    const [type = '', rest] = [signature[0], signature.slice(1)]
    switch (type) {
      case 'y': return { value: this.#view.getUint8(this.#take(1, 1)), rest }
      case 'b': return { value: this.#length() === 1, rest }
      case 'n': return { value: this.#view.getInt16(this.#take(2, 2), this.#little), rest }
      case 'q': return { value: this.#view.getUint16(this.#take(2, 2), this.#little), rest }
      case 'i': return { value: this.#view.getInt32(this.#take(4, 4), this.#little), rest }
      case 'u': return { value: this.#length(), rest }
      case 'x': return { value: this.#view.getBigInt64(this.#take(8, 8), this.#little), rest }
      case 't': return { value: this.#view.getBigUint64(this.#take(8, 8), this.#little), rest }
      case 'd': return { value: this.#view.getFloat64(this.#take(8, 8), this.#little), rest }
      case 's': case 'o': return { value: this.#text(this.#length()), rest }
      case 'g': return { value: this.#signature(), rest }
      case 'v': return { value: this.values(this.#signature(), depth + 1)[0], rest }
      case 'a': return this.#array(rest, depth)
      case '(': case '{': return this.#fields(rest, type === '(' ? ')' : '}', depth)
      default: throw new BusFault(`not a message of D-Bus: a value of type "${type}"`)
    }
  }
  #array(element: string, depth: number): { value: unknown[]; rest: string } {
    const length = this.#length()
    const end = this.#take(0, alignments[element[0] ?? ''] ?? 1) + length
    insist(end <= this.#view.byteLength, 'an array goes on beyond its end')
    const values: unknown[] = []
    while (this.#at < end) values.push(this.value(element, depth + 1).value)
    insist(this.#at === end, 'an array does not end with one of its elements')
    return { value: values, rest: element.slice(typeLength(element)) }
  }
  #fields(signature: string, close: string, depth: number): { value: unknown[]; rest: string } {
    this.#take(0, 8)
    const values: unknown[] = []
    let rest = signature
    while (rest[0] !== close) {
      const field = this.value(rest, depth + 1)
      values.push(field.value)
      rest = field.rest
    }
    // each element of an array of these has to bring it further
    insist(values.length > 0, 'a structure without fields')
    return { value: values, rest: rest.slice(1) }
  }
  /** All values of a signature. */
  values(signature: string, depth = 0): unknown[] {
    const values: unknown[] = []
    for (let rest = signature; rest !== ''; ) {
      const next = this.value(rest, depth)
      values.push(next.value)
      rest = next.rest
    }
    return values
  }
}

/** How many characters the first complete type of a signature has. */
function typeLength(signature: string): number {
  let at = 0
  while (signature[at] === 'a') at++
  for (let open = 0; at < signature.length; ) {
    const character = signature[at++]!
    if (character === '(' || character === '{') open++
    if (character === ')' || character === '}') open--
    if (open === 0) return at
  }
  throw new BusFault('not a message of D-Bus: a signature that does not end')
}

/** A whole message. Throws where it is none. */
export function readMessage(bytes: Buffer): BusMessage {
  const little = bytes[0] === 108
  const fields = new Map(new Reader(bytes, little).values('yyyyuua(yv)').at(-1) as [number, unknown][])
  const bodyLength = little ? bytes.readUInt32LE(4) : bytes.readUInt32BE(4)
  const body = new Reader(bytes.subarray(bytes.length - bodyLength), little)
  const [replySerial, errorName, signature] = [fields.get(5), fields.get(4), fields.get(8)]
  return {
    type: bytes[1] === 2 ? 'return' : bytes[1] === 3 ? 'error' : 'other',
    replySerial: typeof replySerial === 'number' ? replySerial : null,
    errorName: typeof errorName === 'string' ? errorName : null,
    body: typeof signature === 'string' ? body.values(signature) : [],
  }
}
