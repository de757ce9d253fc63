import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createNodeSensors } from '../../edge-agent/host/node-sensors.ts'
import { createFilesystemReader } from '../../edge-agent/host/sensor/read-filesystem.ts'
import type { DiskFinding, NodeSample } from '../../edge-agent/host/sensors.ts'
import type { Node } from '../../edge-agent/node/node.ts'
import type { NodeName } from '../../protocol/ids.ts'
import { machineFiles } from '../support/machine-files.ts'

const here: Node = { name: 'controller-0' as NodeName, personality: 'controller', root: '/', hasAgent: true }
const alone = { kubernetes: false }

/** From a server with two processors; the interrupts' line, which is long, follows. */
const stat = `cpu  2289129 59 324753 2110959 9592 0 12991 732 0 0
cpu0 1111698 39 158629 1095910 2297 0 4699 367 0 0
cpu1 1177431 19 166123 1015049 7295 0 8291 364 0 0
intr 33736337 ${'0 '.repeat(5000)}
ctxt 113561085
`
const meminfo = `MemTotal:       24684092 kB
MemFree:         1613900 kB
MemAvailable:   23976640 kB
Buffers:           19996 kB
`
const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 20839350432 28710919    0   88    0     0          0         0 20839350432 28710919    0    0    0     0       0          0
  ens1: 4463755498  110476    0    0    0     0          0         0  8192660   70225    0    0    0     0       0          0
  ens2:18446744073709551615 1 0    0    0     0          0         0  12   1    0    0    0     0       0          0
 cali1: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0
  tun0: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0
`
const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334492k
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684092k
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda2 rw,discard
28 27 254:1 / /srv/my\\040data rw,relatime - xfs /dev/mapper/data rw,attr2
29 27 254:0 /var/lib/docker /var/lib/docker rw,relatime - ext4 /dev/vda2 rw,discard
30 27 7:1 / /snap/core/1 ro,nodev - squashfs /dev/loop1 ro
31 27 0:44 /@ /backup rw,relatime - btrfs /dev/sdb1 rw,subvol=/@
32 27 0:44 /@home /backup/home rw,relatime - btrfs /dev/sdb1 rw,subvol=/@home
33 27 0:50 / /net/share rw,relatime - nfs4 10.0.0.1:/share rw,vers=4.2
34 27 0:51 / /var/lib/docker/overlay2/x/merged rw,relatime - overlay overlay rw,lowerdir=a
35 27 254:7 / /var/lib/kubelet/pods/1/volumes/v rw - ext4 /dev/rbd0 rw
36 27 8:33 / /media/stick ro,relatime - vfat /dev/sdc1 ro
39 27 8:65 / /media ro,relatime - ext4 /dev/sde1 rw
40 27 8:65 /new /media/new rw,relatime - ext4 /dev/sde1 rw
37 27 8:49 / /media/hidden rw - ext4 /dev/sdd1 rw
38 27 0:60 / /media/hidden rw - tmpfs tmpfs rw
`

const sampleOf = async (files: Record<string, string>, node = here): Promise<NodeSample> => (await createNodeSensors({ root: machineFiles(files) }).sample([node], alone))[0]!

describe('counters of processors, memory and interfaces', () => {
  test('are read as the kernel writes them', async () => {
    const links = { 'sys/class/net/ens1/operstate': 'up\n', 'sys/class/net/ens1/device/vendor': '0x8086\n', 'sys/class/net/ens2/operstate': 'down\n', 'sys/class/net/ens2/device/vendor': '0x8086\n', 'sys/class/net/cali1/operstate': 'up\n', 'sys/class/net/tun0/operstate': 'unknown\n', 'sys/class/net/tun0/carrier': '1\n' }
    const { cpu, memory, interfaces } = await sampleOf({ 'proc/stat': stat, 'proc/meminfo': meminfo, 'proc/net/dev': netDev, ...links })
    // waiting for a disk is idle, what a hypervisor took is busy
    expect(cpu).toEqual({ busyMs: (2289129 + 59 + 324753 + 12991 + 732) * 10, totalMs: (2289129 + 59 + 324753 + 2110959 + 9592 + 12991 + 732) * 10 })
    expect(memory).toEqual({ totalBytes: 24684092 * 1024, availableBytes: 23976640 * 1024 })
    expect(interfaces).toEqual([
      { name: 'ens1', up: true, hasDevice: true, receivedBytes: 4463755498, sentBytes: 8192660 },
      // more than a number holds exactly
      { name: 'ens2', up: false, hasDevice: true, receivedBytes: null, sentBytes: 12 },
      { name: 'cali1', up: true, hasDevice: false, receivedBytes: 100, sentBytes: 200 },
      { name: 'tun0', up: true, hasDevice: false, receivedBytes: 1, sentBytes: 2 },
    ])
  })

  test('of files that are not there are not known, and nothing else is said', async () => {
    expect(await sampleOf({})).toMatchObject({ node: 'controller-0', cpu: null, memory: null, filesystems: [], interfaces: [], pods: null })
  })

  test('of files that are torn off anywhere are right or not known, and never throw', async () => {
    const whole = await sampleOf({ 'proc/stat': stat.slice(0, 200), 'proc/meminfo': meminfo, 'proc/net/dev': netDev })
    const root = machineFiles({ 'proc/stat': '', 'proc/meminfo': '', 'proc/net/dev': '', 'proc/self/mountinfo': '' })
    const sensors = createNodeSensors({ root })
    const asIs = (name: string) => whole.interfaces.find((each) => each.name === name)!
    for (let length = 0; length < netDev.length; length += 3) {
      for (const [path, text] of [['stat', stat], ['meminfo', meminfo], ['net/dev', netDev], ['self/mountinfo', mountinfo]] as const) writeFileSync(`${root}/proc/${path}`, text.slice(0, length))
      const [sample] = await sensors.sample([here], alone)
      expect([null, whole.cpu]).toContainEqual(sample!.cpu)
      expect([null, whole.memory]).toContainEqual(sample!.memory)
      for (const each of sample!.interfaces) expect([asIs(each.name), { ...asIs(each.name), receivedBytes: null, sentBytes: null }]).toContainEqual(each)
    }
  })

  test.each([['letters', 'cpu  a b c d e f g h\n'], ['a minus', 'cpu  -1 2 3 4 5 6 7 8\n'], ['too few', 'cpu  1 2 3\n'], ['far too much', `cpu  ${'9'.repeat(30)} 2 3 4 5 6 7 8\n`], ['bytes of no text', '\x00\xff\xfe\n']])('of processors with %s are not known', async (_, text) => {
    expect((await sampleOf({ 'proc/stat': text })).cpu).toBeNull()
  })

  test.each([['no number', 'MemTotal: many kB\nMemAvailable: 1 kB\n'], ['nothing at all', 'MemTotal: 0 kB\nMemAvailable: 0 kB\n'], ['no word of what is available', 'MemTotal: 5 kB\n']])('of memory with %s are not known', async (_, text) => {
    expect((await sampleOf({ 'proc/meminfo': text })).memory).toBeNull()
  })

  test('of this machine are what its own tools say', async () => {
    const [sample] = await createNodeSensors().sample([here], alone)
    expect(sample!.cpu!.busyMs).toBeLessThanOrEqual(sample!.cpu!.totalMs)
    expect(sample!.memory!.totalBytes).toBe(Number(/Mem: +(\d+)/.exec(execFileSync('free', ['-b'], { encoding: 'utf8' }))![1]))
    const [size, inodes] = execFileSync('df', ['-B1', '--output=size,itotal', '/'], { encoding: 'utf8' }).split('\n')[1]!.trim().split(/ +/).map(Number)
    expect(sample!.filesystems.find(({ path }) => path === '/')).toMatchObject({ sizeBytes: size, inodes: inodes === 0 ? null : { total: inodes } })
  })
})

describe('filesystems', () => {
  /** The directories are all on one disk, so only where they are said to be is looked at. */
  async function mountsIn(text: string): Promise<{ path: string; device: string }[]> {
    const root = machineFiles({ 'proc/self/mountinfo': text })
    for (const path of ['srv/my data', 'backup', 'media/stick', 'media/hidden', 'media/new']) mkdirSync(`${root}/${path}`, { recursive: true })
    const [sample] = await createNodeSensors({ root }).sample([here], alone)
    return sample!.filesystems.map(({ path, device }) => ({ path, device }))
  }

  test('are those on disks of this machine that can be written, each once', async () => {
    expect(await mountsIn(mountinfo)).toEqual([
      { path: '/', device: '/dev/vda2' },
      { path: '/srv/my data', device: '/dev/mapper/data' },
      { path: '/backup', device: '/dev/sdb1' },
      { path: '/media/new', device: '/dev/sde1' },
    ])
  })

  test('are bounded, and lines that are none are passed over', async () => {
    const thousand = Array.from({ length: 1000 }, (_, i) => `${i} 1 8:${i} / /media/new${'/.'.repeat(i % 3)} rw - ext4 /dev/d${i} rw`).join('\n')
    const many = await mountsIn(`garbage\n- - -\n1 2 3:4 /\n1 1 9:9 / relative rw - ext4 /dev/x rw\n${thousand}\n`)
    expect(many.length).toBeGreaterThan(0)
    expect(many.length).toBeLessThanOrEqual(256)
  })

  test('of a node that is a directory are what its root is on', async () => {
    const root = machineFiles({})
    const node: Node = { ...here, name: 'shelf' as NodeName, root, hasAgent: false }
    const [sample] = await createNodeSensors({ root }).sample([node], alone)
    expect(sample).toMatchObject({ node: 'shelf', cpu: null, filesystems: [{ path: '/', device: root }] })
    expect(sample!.filesystems[0]!.usedBytes + sample!.filesystems[0]!.availableBytes).toBeGreaterThan(0)
    const [gone] = await createNodeSensors({ root }).sample([{ ...node, root: `${root}/not-there` }], alone)
    expect(gone).toMatchObject({ filesystems: [], unread: [{ path: '/', why: 'ENOENT' }] })
  })
})

describe('filesystems whose disks hang (F33)', () => {
  const facts = { bsize: 1000, blocks: 100, bfree: 40, bavail: 40, files: 0, ffree: 0 }
  const mountsOf = (...paths: string[]): string => machineFiles({ 'proc/self/mountinfo': paths.map((path, i) => `${i} 1 8:${i} / ${path} rw - ext4 /dev/d${i} rw\n`).join('') })

  test('are unread and asked once, however often samples are taken; the others are read, and so are they once they answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const asked: string[] = []
    let answer = (): void => undefined
    const mended = new Promise<typeof facts>((resolve) => (answer = () => resolve(facts)))
    const root = mountsOf('/a', '/dead', '/z')
    const readFilesystem = createFilesystemReader((path) => {
      asked.push(path.slice(root.length))
      return path.endsWith('/dead') ? mended : Promise.resolve(facts)
    })
    const sensors = createNodeSensors({ root, readFilesystem })
    const sample = async (): Promise<NodeSample> => (await sensors.sample([here], alone))[0]!
    const first = sample()
    await vi.waitFor(() => expect(asked).toContain('/dead'))
    await vi.advanceTimersByTimeAsync(5000)
    for (const taken of [await first, await sample(), ...(await Promise.all([sample(), sample()]))]) {
      expect(taken.filesystems.map(({ path }) => path)).toEqual(['/a', '/z'])
      expect(taken.unread).toEqual([{ path: '/dead', why: 'no-answer' }])
    }
    expect(asked.filter((path) => path === '/dead')).toHaveLength(1)
    answer()
    await mended
    expect(await sample()).toMatchObject({ filesystems: [{ path: '/a' }, { path: '/dead' }, { path: '/z' }], unread: [] })
  })

  test('never take more than two threads: the agent reads and writes its own files, and none is asked until one has answered', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const paths = Array.from({ length: 8 }, (_, i) => `/d${i}`)
    const root = mountsOf(...paths)
    const pipe = `${root}/pipe`
    execFileSync('mkfifo', [pipe])
    const asked: string[] = []
    // to open a pipe that nobody writes to takes a thread, as a disk that hangs does
    const readFilesystem = createFilesystemReader(async (path) => {
      asked.push(path.slice(root.length))
      await (await open(pipe, 'r')).close()
      return facts
    })
    const sensors = createNodeSensors({ root, readFilesystem })
    const sampling = sensors.sample([here], alone)
    for (let hung = 1; hung <= 2; hung++) {
      await vi.waitFor(() => expect(asked).toHaveLength(hung))
      await vi.advanceTimersByTimeAsync(5000)
    }
    const [taken] = await sampling
    expect(taken!.unread).toEqual(paths.map((path, i) => ({ path, why: i < 2 ? 'no-answer' : 'not-asked' })))
    await writeFile(`${root}/own`, 'the agent goes on')
    expect(await readFile(`${root}/own`, 'utf8')).toBe('the agent goes on')
    expect(await sensors.certificate({ path: '/d5' })).toEqual({ ok: false, refusal: 'the disk does not answer' })
    expect(await sensors.directoryBytes(here, `${root}/d6`)).toEqual({ ok: false, refusal: 'the disk does not answer' })
    expect(asked).toEqual(paths.slice(0, 2))
    await (await open(pipe, 'w')).close()
  })

  test('or that refuse to be read are told with what the system says', async () => {
    const root = mountsOf('/broken')
    const readFilesystem = createFilesystemReader(() => Promise.reject(Object.assign(new Error('broken'), { code: 'EIO' })))
    expect((await createNodeSensors({ root, readFilesystem }).sample([here], alone))[0]).toMatchObject({ filesystems: [], unread: [{ path: '/broken', why: 'EIO' }] })
  })
})

describe('disks', () => {
  const findings = (files: Record<string, string>): Promise<DiskFinding[]> => createNodeSensors({ root: machineFiles(files) }).disks()
  const wrong = async (files: Record<string, string>): Promise<string[]> => (await findings(files)).map((each) => `${each.device} ${each.wrong}`).sort()

  test('of a machine that is well, or says nothing, have nothing wrong', async () => {
    expect(await findings({})).toEqual([])
    const well = {
      'sys/fs/ext4/features/lazy_itable_init': 'supported\n', 'sys/fs/ext4/vda2/errors_count': '0\n', 'sys/block/md0/md/array_state': 'clean\n', 'sys/block/md0/md/degraded': '0\n',
      'sys/block/mmcblk0/device/life_time': '0x01 0x02\n', 'sys/block/mmcblk0/device/pre_eol_info': '0x01\n', 'sys/block/sda/device/state': 'running\n', 'sys/class/nvme/nvme0/state': 'live\n',
      'proc/spl/kstat/zfs/tank/state': 'ONLINE\n', 'sys/fs/btrfs/11111111-2222-3333-4444-555555555555/devinfo/1/error_stats': 'write_errs 0\nread_errs 0\nflush_errs 0\ncorruption_errs 0\ngeneration_errs 0\n',
      'proc/self/mountinfo': mountinfo,
    }
    expect(await findings(well)).toEqual([])
  })

  test('are named with what the kernel says of them', async () => {
    const btrfs = 'sys/fs/btrfs/11111111-2222-3333-4444-555555555555'
    expect(await wrong({
      'sys/fs/ext4/vda2/errors_count': '3\n', 'sys/block/md0/md/array_state': 'active\n', 'sys/block/md0/md/degraded': '1\n', 'sys/block/md1/md/array_state': 'broken\n',
      'sys/block/mmcblk0/device/life_time': '0x0a 0x01\n', 'sys/block/mmcblk1/device/life_time': '0x01 0x0b\n', 'sys/block/mmcblk2/device/pre_eol_info': '0x02\n', 'sys/block/mmcblk3/device/pre_eol_info': '0x03\n',
      'sys/block/sda/device/state': 'offline\n', 'sys/class/nvme/nvme0/state': 'dead\n', 'proc/spl/kstat/zfs/tank/state': 'DEGRADED\n', 'proc/spl/kstat/zfs/pond/state': 'FAULTED\n',
      [`${btrfs}/devices/sdb1/size`]: '1\n', [`${btrfs}/devinfo/1/error_stats`]: 'write_errs 0\nread_errs 7\nflush_errs 0\ncorruption_errs 2\ngeneration_errs 0\n', [`${btrfs}/devinfo/1/missing`]: '0\n',
    })).toEqual(['md0 degraded', 'md1 failed', 'mmcblk0 worn', 'mmcblk1 worn-out', 'mmcblk2 worn', 'mmcblk3 worn-out', 'nvme0 failed', 'pond failed', 'sda failed', 'sdb1 errors', 'tank degraded', 'vda2 errors'])
    expect((await findings({ [`${btrfs}/devices/sdb1/size`]: '1\n', [`${btrfs}/devinfo/1/error_stats`]: 'read_errs 7\ncorruption_errs 2\n' }))[0]!.detail).toContain('7 read, 2 corruption')
  })

  test('whose filesystem has become read-only by itself are named, those that were mounted so are not', async () => {
    const lines = `27 1 254:0 / / rw,relatime - ext4 /dev/vda2 ro,errors=remount-ro\n28 27 254:1 / /srv ro,relatime - ext4 /dev/vdb ro\n29 27 254:2 / /data rw - ext4 /dev/vdc rw,emergency_ro\n30 27 254:3 / /fine ro - ext4 /dev/vdd rw\n`
    expect(await findings({ 'proc/self/mountinfo': lines })).toEqual([
      { device: 'vda2', wrong: 'read-only', detail: 'the filesystem at / has become read-only' },
      { device: 'vdc', wrong: 'read-only', detail: 'the filesystem at /data has become read-only' },
    ])
  })

  test('that say something garbled have nothing wrong', async () => {
    expect(await findings({ 'sys/fs/ext4/vda2/errors_count': 'NaN\n', 'sys/block/md0/md/degraded': '-1\n', 'sys/block/mmcblk0/device/life_time': '0xff 0xzz\n', 'sys/block/sda/device/state': '\x00\x01' })).toEqual([])
  })
})

describe('what a directory takes', () => {
  const node: Node = { ...here }

  test('is what du says: blocks, a file with two names once, links not followed', async () => {
    const root = machineFiles({ 'd/a/b/one': 'x'.repeat(100_000), 'd/two': 'y', 'elsewhere/big': 'z'.repeat(500_000) })
    linkSync(`${root}/d/two`, `${root}/d/a/also-two`)
    symlinkSync(`${root}/elsewhere`, `${root}/d/link`)
    const said = Number(execFileSync('du', ['-s', '--block-size=1', `${root}/d`], { encoding: 'utf8' }).split('\t')[0])
    const sensors = createNodeSensors()
    expect(await sensors.directoryBytes(node, `${root}/d`)).toEqual({ ok: true, value: { sizeBytes: said, complete: true } })
    expect(await sensors.directoryBytes({ ...node, root, hasAgent: false }, '/d')).toEqual({ ok: true, value: { sizeBytes: said, complete: true } })
  })

  test('of a node never leads out of its root', async () => {
    const root = machineFiles({ 'node/var/x': '1', 'outside/big': 'z'.repeat(500_000) })
    symlinkSync('/../../outside', `${root}/node/log`)
    mkdirSync(`${root}/node/outside`)
    const found = await createNodeSensors().directoryBytes({ ...node, root: `${root}/node`, hasAgent: false }, '/log')
    expect(found).toMatchObject({ ok: true })
    expect(found?.ok === true && found.value.sizeBytes).toBeLessThan(100_000)
  })

  test('of none is nothing, of a file is refused with why', async () => {
    const root = machineFiles({ file: '1' })
    expect(await createNodeSensors().directoryBytes(node, `${root}/none`)).toBeNull()
    expect(await createNodeSensors().directoryBytes(node, `${root}/file/below`)).toBeNull()
    expect(await createNodeSensors().directoryBytes(node, `${root}/file`)).toEqual({ ok: false, refusal: 'it is not a directory' })
  })
})
