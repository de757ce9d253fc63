import { basename } from 'node:path'
import type { DiskFinding } from '../sensors.ts'
import { wholeNumber, type Kernel } from './kernel.ts'
import { readMounts } from './read-mounts.ts'

const devicesMax = 256
const word = async (kernel: Kernel, path: string): Promise<string> => ((await kernel.text(path)) ?? '').trim()
const number = async (kernel: Kernel, path: string): Promise<number> => wholeNumber(await kernel.text(path)) ?? 0

/** Looks at each name of a directory that fits. */
async function each(kernel: Kernel, directory: string, fits: RegExp, look: (name: string, path: string) => Promise<DiskFinding[]>): Promise<DiskFinding[]> {
  const names = (await kernel.names(directory)).filter((name) => fits.test(name)).slice(0, devicesMax)
  return (await Promise.all(names.map((name) => look(name, `${directory}/${name}`)))).flat()
}

const ext4 = (kernel: Kernel): Promise<DiskFinding[]> =>
  each(kernel, '/sys/fs/ext4', /^(?!features$)/, async (device, path) => {
    const errors = await number(kernel, `${path}/errors_count`)
    return errors === 0 ? [] : [{ device, wrong: 'errors', detail: `its ext4 filesystem has counted ${errors} errors since it was last checked` }]
  })

/** A file per device of the filesystem, with a line per kind of error. */
const btrfs = (kernel: Kernel): Promise<DiskFinding[]> =>
  each(kernel, '/sys/fs/btrfs', /^[0-9a-f-]{36}$/, async (id, path) => {
    const [devices, label] = await Promise.all([kernel.names(`${path}/devices`), word(kernel, `${path}/label`)])
    return each(kernel, `${path}/devinfo`, /^\d+$/, async (number_, info) => {
      const device = devices.length === 1 ? devices[0]! : `${label === '' ? id : label}:${number_}`
      const [errors, missing] = await Promise.all([kernel.text(`${info}/error_stats`), word(kernel, `${info}/missing`)])
      const counted = [...(errors ?? '').matchAll(/^(\w+)_errs (\d{1,15})$/gm)].filter(([, , count]) => Number(count) > 0).map(([, kind, count]) => `${count} ${kind}`)
      return [
        ...(counted.length === 0 ? [] : [{ device, wrong: 'errors' as const, detail: `its btrfs filesystem has counted errors: ${counted.join(', ')}` }]),
        ...(missing === '1' ? [{ device, wrong: 'degraded' as const, detail: 'it is missing from its btrfs filesystem' }] : []),
      ]
    })
  })

/** Arrays of md(4). */
const arrays = (kernel: Kernel): Promise<DiskFinding[]> =>
  each(kernel, '/sys/block', /^md/, async (device, path) => {
    const [state, missing] = await Promise.all([word(kernel, `${path}/md/array_state`), number(kernel, `${path}/md/degraded`)])
    if (state === 'inactive' || state === 'broken') return [{ device, wrong: 'failed', detail: `the array is ${state}` }]
    return missing === 0 ? [] : [{ device, wrong: 'degraded', detail: `the array works without ${missing} of its disks` }]
  })

/** eMMC (JESD84-B51): life used in steps of ten percent for two kinds of memory, and how many spare blocks are gone. */
const flash = (kernel: Kernel): Promise<DiskFinding[]> =>
  each(kernel, '/sys/block', /^mmcblk\d+$/, async (device, path) => {
    const [life, spare] = await Promise.all([word(kernel, `${path}/device/life_time`), word(kernel, `${path}/device/pre_eol_info`)])
    const steps = [...life.matchAll(/0x([0-9a-fA-F]{2})\b/g)].map(([, hex]) => Number.parseInt(hex!, 16))
    const used = Math.max(0, ...steps.filter((step) => step <= 11))
    if (used === 11 || spare === '0x03') return [{ device, wrong: 'worn-out', detail: used === 11 ? 'the flash has exceeded the life it was made for' : 'more than 90 % of the spare blocks of the flash are used up' }]
    if (used === 10 || spare === '0x02') return [{ device, wrong: 'worn', detail: used === 10 ? 'more than 90 % of the life of the flash is used up' : 'more than 80 % of the spare blocks of the flash are used up' }]
    return []
  })

/** Disks that the kernel has given up. */
const gone = async (kernel: Kernel): Promise<DiskFinding[]> => [
  ...(await each(kernel, '/sys/block', /^sd[a-z]+$/, async (device, path) => {
    const state = await word(kernel, `${path}/device/state`)
    return state === 'offline' || state === 'transport-offline' ? [{ device, wrong: 'failed', detail: 'the kernel has taken it offline' }] : []
  })),
  ...(await each(kernel, '/sys/class/nvme', /^nvme\d+$/, async (device, path) =>
    (await word(kernel, `${path}/state`)) === 'dead' ? [{ device, wrong: 'failed', detail: 'the controller is dead' }] : [])),
]

const pools = (kernel: Kernel): Promise<DiskFinding[]> =>
  each(kernel, '/proc/spl/kstat/zfs', /./, async (device, path) => {
    const state = await word(kernel, `${path}/state`)
    if (state === 'DEGRADED') return [{ device, wrong: 'degraded', detail: 'the ZFS pool works without some of its disks' }]
    return /^(FAULTED|UNAVAIL|SUSPENDED)$/.test(state) ? [{ device, wrong: 'failed', detail: `the ZFS pool is ${state.toLowerCase()}` }] : []
  })

const readOnly = async (kernel: Kernel): Promise<DiskFinding[]> =>
  (await readMounts(kernel)).filter((mount) => mount.becameReadOnly).map(({ device, path }) => ({ device: basename(device), wrong: 'read-only', detail: `the filesystem at ${path} has become read-only` }))

/** What the kernel says is wrong with disks, arrays, flash and filesystems. What it says nothing about counts as well. */
export async function readDisks(kernel: Kernel): Promise<DiskFinding[]> {
  return (await Promise.all([ext4, btrfs, arrays, flash, gone, pools, readOnly].map((look) => look(kernel)))).flat()
}
