import type { InterfaceSample, NodeSample } from '../sensors.ts'
import { wholeNumber, type Kernel } from './kernel.ts'

/** Of a tick, in which the kernel counts on every architecture that Node runs on (`USER_HZ`). */
const tickMs = 10
const interfacesMax = 256
const tableBytesMax = 256 * 1024

/** The processors' time since the machine's start (proc(5), `/proc/stat`): what waits for a disk is idle, what a hypervisor took away is busy. */
export async function readCpu(kernel: Kernel): Promise<NodeSample['cpu']> {
  const line = /^cpu +(\d[\d ]*)\n/.exec((await kernel.text('/proc/stat')) ?? '')?.[1]
  // user, nice, system, idle, iowait, irq, softirq, steal; guests are part of user
  const ticks = (line ?? '').trim().split(/ +/).slice(0, 8).map(wholeNumber)
  if (ticks.length < 8 || ticks.includes(null)) return null
  const total = ticks.reduce<number>((sum, each) => sum + each!, 0)
  const idle = ticks[3]! + ticks[4]!
  return { busyMs: (total - idle) * tickMs, totalMs: total * tickMs }
}

/** `MemAvailable`: what programs can still have without swapping, which counts caches that can be dropped. */
export async function readMemory(kernel: Kernel): Promise<NodeSample['memory']> {
  const text = (await kernel.text('/proc/meminfo')) ?? ''
  const bytesOf = (name: string): number | null => {
    const kibibytes = wholeNumber(new RegExp(`^${name}: +(\\d+) kB\\n`, 'm').exec(text)?.[1])
    return kibibytes === null ? null : kibibytes * 1024
  }
  const [totalBytes, availableBytes] = [bytesOf('MemTotal'), bytesOf('MemAvailable')]
  if (totalBytes === null || availableBytes === null || totalBytes === 0) return null
  return { totalBytes, availableBytes: Math.min(availableBytes, totalBytes) }
}

/** Interfaces but the loopback, with the bytes they have received and sent. */
export async function readInterfaces(kernel: Kernel): Promise<InterfaceSample[]> {
  const lines = ((await kernel.text('/proc/net/dev', tableBytesMax)) ?? '').split('\n').slice(2, 2 + interfacesMax)
  const found = await Promise.all(lines.map(async (line) => {
    const [, name, rest] = /^ *([^\s:/]{1,15}): *(\d.*)$/.exec(line) ?? []
    if (name === undefined || rest === undefined || name === 'lo') return null
    const counters = rest.trim().split(/ +/)
    // received: bytes and seven more; sent: bytes and seven more. A line that is torn off has fewer
    const [receivedBytes, sentBytes] = counters.length < 16 ? [null, null] : [wholeNumber(counters[0]), wholeNumber(counters[8])]
    return { name, ...(await readLink(kernel, name)), receivedBytes, sentBytes }
  }))
  return found.filter((each) => each !== null)
}

async function readLink(kernel: Kernel, name: string): Promise<{ up: boolean | null; hasDevice: boolean }> {
  const directory = `/sys/class/net/${name}`
  const [state, hardware] = await Promise.all([kernel.text(`${directory}/operstate`), kernel.names(`${directory}/device`)])
  return { up: state?.trim() === 'unknown' ? await hasCarrier(kernel, directory) : isUp(state), hasDevice: hardware.length > 0 }
}

/** `operstate` of RFC 2863. */
const isUp = (state: string | null): boolean | null => {
  const word = state?.trim() ?? ''
  return word === 'up' || word === 'dormant' ? true : /^(down|lowerlayerdown|notpresent|testing)$/.test(word) ? false : null
}

/** Drivers that do not keep `operstate` still say whether there is a carrier; the file cannot be read while an interface is switched off. */
async function hasCarrier(kernel: Kernel, directory: string): Promise<boolean | null> {
  const carrier = (await kernel.text(`${directory}/carrier`))?.trim()
  return carrier === '1' ? true : carrier === '0' || carrier === undefined ? false : null
}
