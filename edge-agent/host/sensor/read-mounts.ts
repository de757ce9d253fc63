import type { Kernel } from './kernel.ts'

/** A filesystem that keeps data of this machine and is mounted to be written. `becameReadOnly`: it cannot be any more. */
export type Mount = { path: string; device: string; becameReadOnly: boolean }

const tableBytesMax = 1024 * 1024
const mountsMax = 256
/** Filesystems without a block device of their own that are on disks nevertheless. */
const onDisks = new Set(['btrfs', 'zfs', 'bcachefs'])
/** Always full and never written, or answered by a program that may hang. */
const leftOut = new Set(['squashfs', 'iso9660', 'erofs', 'cramfs', 'romfs', 'fuseblk'])
/** Volumes of pods come and go, and are their owner's. */
const volumePath = /^\/var\/lib\/kubelet\/(pods|plugins)\//

/** Spaces and the like are written as `\040`. */
const unescape = (text: string): string => text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)))

type Line = Mount & { key: string }

/** One line of `/proc/self/mountinfo` (proc(5)), or null where it is none, is not of a disk, or is read-only by intent. */
function parseLine(line: string): Line | null {
  const [mount = '', rest] = line.split(' - ', 2)
  const [, , key, , escapedPath, options] = mount.split(' ')
  const [type, source, superOptions] = rest?.split(' ') ?? []
  if (!/^\d+:\d+$/.test(key ?? '') || options === undefined || type === undefined || source === undefined || superOptions === undefined) return null
  const path = unescape(escapedPath!)
  const hasBlockDevice = !key!.startsWith('0:')
  const isRoot = path === '/' && type === 'overlay'
  if ((!hasBlockDevice && !onDisks.has(type) && !isRoot) || leftOut.has(type) || volumePath.test(path) || !path.startsWith('/')) return null
  if (!options.split(',').includes('rw')) return null
  const whole = new Set(superOptions.split(','))
  // An error makes the filesystem read-only beneath a mount that still says rw; whoever mounts it so says it on both.
  const stopped = whole.has('ro') || whole.has('emergency_ro') || whole.has('shutdown')
  return { key: key!, path, device: unescape(source), becameReadOnly: stopped }
}

/**
 * The filesystems on this machine's disks, each once however often it is mounted: where its path is shortest. None of the network, none that
 * is read-only by intent (it cannot fill up) and none
 * of the kernel's own. Of a table that is torn off, the lines that are whole.
 */
export async function readMounts(kernel: Kernel): Promise<Mount[]> {
  const text = (await kernel.text('/proc/self/mountinfo', tableBytesMax)) ?? ''
  const byPath = new Map<string, Line | null>()
  // what is mounted later at the same place hides what was there
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    const path = line.split(' ', 5)[4]
    if (path !== undefined) byPath.set(path, parseLine(line))
  }
  const byDevice = new Map<string, Line>()
  for (const line of byPath.values()) {
    const before = line === null ? undefined : byDevice.get(line.key)
    if (line !== null && (before === undefined || line.path.length < before.path.length)) byDevice.set(line.key, line)
  }
  return [...byDevice.values()].slice(0, mountsMax).map(({ path, device, becameReadOnly }) => ({ path, device, becameReadOnly }))
}
