import type { z } from 'zod'
import { fromUtf8, toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import type { Files } from '../host/host.ts'

/** A value that survives a power cut, a torn write and a flipped bit, as long as one of its two slots is whole (F22). */
export interface Store<T> {
  /** The value as last written; null before the first write. */
  readonly current: T | null
  /** Returns once the value is durable; `current` changes only then. Writes happen one after the other. */
  write(value: T): Promise<void>
  /** Reads, changes and writes with nothing in between. */
  update(change: (current: T) => T): Promise<T>
}

export class StoreError extends Error {
  constructor(path: string) {
    super(`both slots of ${path} are damaged: what this site last did is unknown; enrol it anew with --replace after looking at its nodes`)
    this.name = 'StoreError'
  }
}

type Slot<T> = { serial: number; value: T }

/**
 * Opens `<path>.0` and `<path>.1`, which are written in turns; the whole one with the higher serial number counts. Each
 * is one line with the digest of the rest, then JSON. Throws StoreError when something is there but nothing is whole.
 */
export async function openStore<S extends z.ZodType>(files: Files, crypto: Crypto, path: string, schema: S): Promise<Store<z.output<S>>> {
  type T = z.output<S>
  const read = async (slot: 0 | 1): Promise<Slot<T> | null | 'damaged'> => {
    if ((await files.facts(`${path}.${slot}`)) === null) return null
    return decode(await files.read(`${path}.${slot}`), crypto, schema)
  }
  const slots = [await read(0), await read(1)]
  const whole = slots.filter((slot): slot is Slot<T> => slot !== null && slot !== 'damaged')
  if (whole.length === 0 && slots.includes('damaged')) throw new StoreError(path)
  const newest = whole.reduce<Slot<T> | null>((best, slot) => (best === null || slot.serial > best.serial ? slot : best), null)
  let current: T | null = newest?.value ?? null
  let serial = newest?.serial ?? 0
  let target: 0 | 1 = newest !== null && slots[0] === newest ? 1 : 0
  let queue: Promise<unknown> = Promise.resolve()
  const inTurn = <R>(work: () => Promise<R>): Promise<R> => {
    const result = queue.then(work)
    queue = result.catch(() => undefined)
    return result
  }
  const writeNow = async (value: T): Promise<void> => {
    await files.writeDurable(`${path}.${target}`, await encode({ serial: serial + 1, value }, crypto), 0o600)
    serial += 1
    target = target === 0 ? 1 : 0
    current = value
  }
  return {
    get current() {
      return current
    },
    write: (value) => inTurn(() => writeNow(value)),
    update: (change) =>
      inTurn(async () => {
        const next = change(current as T)
        if (next !== current) await writeNow(next)
        return next
      }),
  }
}

async function encode(slot: Slot<unknown>, crypto: Crypto): Promise<Uint8Array> {
  const text = JSON.stringify(slot)
  return utf8(`${toHex(await crypto.sha256(utf8(text)))}\n${text}`)
}

async function decode<S extends z.ZodType>(bytes: Uint8Array, crypto: Crypto, schema: S): Promise<Slot<z.output<S>> | 'damaged'> {
  try {
    const [digest, text = ''] = splitOnce(fromUtf8(bytes))
    if (toHex(await crypto.sha256(utf8(text))) !== digest) return 'damaged'
    const slot = JSON.parse(text) as Slot<unknown>
    return { serial: slot.serial, value: schema.parse(slot.value) }
  } catch {
    return 'damaged'
  }
}

function splitOnce(text: string): [string, string] {
  const end = text.indexOf('\n')
  return end < 0 ? ['', ''] : [text.slice(0, end), text.slice(end + 1)]
}
