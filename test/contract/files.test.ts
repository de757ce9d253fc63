import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterEach, describe, expect, test } from 'vitest'
import { FileError } from '../../edge-agent/host/host.ts'
import { nodeFiles } from '../../edge-agent/host/node-files.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { seededFractions } from '../support/seeded-fractions.ts'
import { cutPowerAfter, PowerCut, SimulatedFiles } from '../support/simulated-files.ts'
import { filesCases } from './files.cases.ts'

describe('the disk of this machine', () => {
  const directories: string[] = []
  afterEach(async () => {
    for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
  })
  filesCases(async () => {
    const directory = await mkdtemp(`${tmpdir()}/murmuration-files-`)
    directories.push(directory)
    return { files: nodeFiles, directory }
  })
})

describe('the simulated disk', () => {
  filesCases(async () => {
    const files = new SimulatedFiles({ capacityBytes: 10_000_000 })
    await files.makeDirectory('/work')
    return { files, directory: '/work' }
  })

  const afterCrash = async (seed: number, work: (files: SimulatedFiles) => Promise<void>): Promise<SimulatedFiles> => {
    const files = new SimulatedFiles()
    await work(files)
    files.crash(seededFractions(seed))
    return files
  }
  const contentOf = async (files: SimulatedFiles, path: string): Promise<string | null> =>
    (await files.facts(path)) === null ? null : fromUtf8(await files.read(path))
  const outcomes = async (work: (files: SimulatedFiles) => Promise<void>, path: string): Promise<Set<string | null>> => {
    const seen = new Set<string | null>()
    for (let seed = 1; seed <= 200; seed++) seen.add(await contentOf(await afterCrash(seed, work), path))
    return seen
  }

  test('what was synced survives, file and name', async () => {
    const seen = await outcomes(async (files) => {
      await files.write('/a', utf8('kept'))
      await files.sync('/a')
      await files.sync('/')
    }, '/a')
    expect([...seen]).toEqual(['kept'])
  })

  test('a rename without fsync of the file may leave it old, new, torn or empty (F22)', async () => {
    const seen = await outcomes(async (files) => {
      await files.writeDurable('/a', utf8('old'))
      await files.write('/b', utf8('new!'))
      await files.rename('/b', '/a')
      await files.sync('/')
    }, '/a')
    expect(seen.has('')).toBe(true)
    expect(seen.has('ne')).toBe(true)
    expect(seen.has('new!')).toBe(true)
    expect(seen.has('old')).toBe(false)
  })

  test('a name that was not synced may be lost or kept, and a rename is never half of each', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const files = await afterCrash(seed, async (disk) => {
        await disk.makeDirectory('/x')
        await disk.makeDirectory('/y')
        await disk.writeDurable('/x/a', utf8('1'))
        await disk.sync('/')
        await disk.rename('/x/a', '/y/a')
      })
      expect([await contentOf(files, '/x/a'), await contentOf(files, '/y/a')].filter((content) => content === '1')).toHaveLength(1)
    }
  })

  test('an appended tail may be torn, the synced part before it never is', async () => {
    const seen = await outcomes(async (files) => {
      await files.writeDurable('/log', utf8('safe'))
      await files.append('/log', utf8('tail'))
    }, '/log')
    expect([...seen].sort()).toEqual(['safe', 'safet', 'safeta', 'safetai', 'safetail'])
  })

  test('writeDurable leaves the old or the new, wherever the power goes (F21)', async () => {
    for (let calls = 0; calls <= 4; calls++) {
      const seen = await outcomes(async (files) => {
        await files.writeDurable('/a', utf8('old'))
        files.beforeCall = cutPowerAfter(calls)
        await files.writeDurable('/a', utf8('new')).catch((error: unknown) => expect(error).toBeInstanceOf(PowerCut))
        files.beforeCall = null
      }, '/a')
      for (const content of seen) expect(calls < 4 ? ['old', 'new'] : ['new']).toContain(content)
    }
  })

  test('the same fractions give the same disk', async () => {
    const work = async (files: SimulatedFiles): Promise<void> => {
      for (let i = 0; i < 50; i++) await files.write(`/f${i}`, utf8(`content ${i}`))
    }
    const picture = async (seed: number): Promise<string> => {
      const files = await afterCrash(seed, work)
      const lines = (await files.list('/')).map(async (name) => `${name}=${await contentOf(files, `/${name}`)}`)
      return (await Promise.all(lines)).join('\n')
    }
    expect(await picture(7)).toBe(await picture(7))
    expect(await picture(7)).not.toBe(await picture(8))
  })

  test('a full disk keeps what fits, frees what is removed or replaced, and a failed writeDurable changes nothing (F23)', async () => {
    const files = new SimulatedFiles({ capacityBytes: 10 })
    await files.writeDurable('/a', utf8('12345'))
    await expect(files.write('/b', utf8('1234567'))).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await contentOf(files, '/b')).toBe('12345')
    await files.remove('/b')
    await expect(files.writeDurable('/a', utf8('123456'))).rejects.toMatchObject({ code: 'ENOSPC', path: '/a' })
    expect(await files.list('/')).toEqual(['a'])
    expect(await contentOf(files, '/a')).toBe('12345')
    await files.writeDurable('/a', utf8('54321'))
    expect(await files.freeBytes('/')).toBe(5)
    files.crash(() => 0)
    expect(await files.freeBytes('/')).toBe(5)
  })

  test('a read-only disk and an injected EIO refuse with their code (F23)', async () => {
    const files = new SimulatedFiles()
    await files.write('/a', utf8('a'))
    files.readOnly = true
    await expect(files.write('/a', utf8('b'))).rejects.toMatchObject({ code: 'EROFS' })
    await expect(files.remove('/a')).rejects.toMatchObject({ code: 'EROFS' })
    expect(await contentOf(files, '/a')).toBe('a')
    files.beforeCall = (name, path) => {
      if (name === 'read') throw new FileError('EIO', path)
    }
    await expect(files.read('/a')).rejects.toMatchObject({ code: 'EIO' })
  })
})
