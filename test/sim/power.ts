import { PowerCut } from '../support/simulated-files.ts'
import { never } from './world.ts'

/** Power for one life of an agent. Once it is off, nothing that this life asks of its host is ever answered. */
export class Power {
  on = true
  calls = 0
  /** The call at which it goes off. */
  cutAt = Number.POSITIVE_INFINITY
  private readonly whenOff: () => void

  constructor(whenOff: () => void) {
    this.whenOff = whenOff
  }

  /** One call; throws PowerCut where the power goes off, or is off already. */
  spend(): void {
    if (this.on && this.calls++ >= this.cutAt) this.off()
    if (!this.on) throw new PowerCut()
  }

  off(): void {
    if (!this.on) return
    this.on = false
    this.whenOff()
  }
}

/** The same port, none of whose calls comes back without power. `spends`: each call counts as one (a disk counts its steps itself). */
export function powered<T extends object>(port: T, power: Power, spends: boolean): T {
  const call = async (work: () => unknown): Promise<unknown> => {
    if (!power.on) return never()
    try {
      if (spends) power.spend()
      const result = await work()
      return power.on ? result : await never()
    } catch (error) {
      if (!power.on) return never()
      throw error
    }
  }
  return new Proxy(port, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown
      if (typeof value !== 'function') return value
      const method = value as (...args: unknown[]) => unknown
      if (name === 'stream') return (...args: unknown[]) => poweredStream(method.apply(target, args) as AsyncIterable<Uint8Array>, power)
      return (...args: unknown[]) => call(() => method.apply(target, args))
    },
  })
}

/** A stream that stands still for ever without power. */
export async function* poweredStream(stream: AsyncIterable<Uint8Array>, power: Power): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of stream) yield power.on ? piece : await never()
  } catch (error) {
    if (!power.on) await never()
    throw error
  }
}
