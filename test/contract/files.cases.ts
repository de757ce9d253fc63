import { expect, test } from 'vitest'
import { FileError, type Files } from '../../edge-agent/host/host.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'

async function gather(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let total = 0
  for await (const piece of pieces) total += piece.length
  return total
}

/** What every disk must do. `fresh` gives a disk and an empty directory on it that is the case's own. */
export function filesCases(fresh: () => Promise<{ files: Files; directory: string }>): void {
  const code = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.then(() => null, (thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(FileError)
    return (error as FileError).code
  }
  const text = async (files: Files, path: string): Promise<string> => fromUtf8(await files.read(path))

  test('what was written is read, whole, in a range and in pieces', async () => {
    const { files, directory } = await fresh()
    const path = `${directory}/a`
    await files.write(path, utf8('hello'))
    expect(await text(files, path)).toBe('hello')
    expect(fromUtf8(await files.readRange(path, 1, 3))).toBe('ell')
    expect(fromUtf8(await files.readRange(path, 3, 99))).toBe('lo')
    expect((await files.readRange(path, 9, 9)).length).toBe(0)
    await files.write(path, new Uint8Array(600_000))
    expect(await gather(files.stream(path))).toBe(600_000)
    await files.write(path, utf8('x'))
    expect(await text(files, path)).toBe('x')
  })

  test('bytes handed in or out are copies', async () => {
    const { files, directory } = await fresh()
    const bytes = utf8('abc')
    await files.write(`${directory}/a`, bytes)
    bytes[0] = 0
    ;(await files.read(`${directory}/a`))[1] = 0
    expect(await text(files, `${directory}/a`)).toBe('abc')
  })

  test('append creates and lengthens, truncate shortens and lengthens with zeros', async () => {
    const { files, directory } = await fresh()
    const path = `${directory}/log`
    for (const part of ['one', 'two', 'three']) await files.append(path, utf8(part))
    expect(await text(files, path)).toBe('onetwothree')
    await files.truncate(path, 4)
    await files.append(path, utf8('!'))
    expect(await text(files, path)).toBe('onet!')
    await files.truncate(path, 7)
    expect(await text(files, path)).toBe('onet!\0\0')
  })

  test('writeDurable replaces, keeps nothing beside it, and sets the mode it was given', async () => {
    const { files, directory } = await fresh()
    await files.writeDurable(`${directory}/a`, utf8('old'))
    await files.writeDurable(`${directory}/a`, utf8('new'), 0o600)
    expect(await text(files, `${directory}/a`)).toBe('new')
    expect((await files.facts(`${directory}/a`))?.mode).toBe(0o600)
    expect(await files.list(directory)).toEqual(['a'])
  })

  test('modes are set exactly as given, and facts tell kinds and sizes apart', async () => {
    const { files, directory } = await fresh()
    await files.write(`${directory}/a`, utf8('four'), 0o777)
    await files.symlink('a', `${directory}/l`)
    expect(await files.facts(`${directory}/a`)).toMatchObject({ kind: 'file', size: 4, mode: 0o777 })
    expect(await files.facts(`${directory}/l`)).toMatchObject({ kind: 'link', size: 1 })
    expect(await files.facts(directory)).toMatchObject({ kind: 'directory' })
    expect(await files.facts(`${directory}/none`)).toBeNull()
    expect(await files.facts(`${directory}/a/below`)).toBeNull()
    await files.setMode(`${directory}/a`, 0o640)
    await files.write(`${directory}/a`, utf8('five'))
    expect((await files.facts(`${directory}/a`))?.mode).toBe(0o640)
    const { uid, gid } = (await files.facts(`${directory}/a`))!
    await files.setOwner(`${directory}/a`, uid, gid)
  })

  test('a rename replaces a file or a link in one step, and refuses what cannot be replaced', async () => {
    const { files, directory } = await fresh()
    await files.write(`${directory}/a`, utf8('a'))
    await files.symlink('nowhere', `${directory}/l`)
    await files.rename(`${directory}/a`, `${directory}/l`)
    expect(await files.list(directory)).toEqual(['l'])
    expect(await text(files, `${directory}/l`)).toBe('a')
    await files.makeDirectory(`${directory}/full/inner`)
    await files.makeDirectory(`${directory}/empty`)
    expect(await code(files.rename(`${directory}/l`, `${directory}/empty`))).toBe('EISDIR')
    expect(await code(files.rename(`${directory}/empty`, `${directory}/l`))).toBe('ENOTDIR')
    expect(await code(files.rename(`${directory}/empty`, `${directory}/full`))).toBe('ENOTEMPTY')
    expect(await code(files.rename(`${directory}/full`, `${directory}/full/inner/x`))).toBe('EINVAL')
    expect(await code(files.rename(`${directory}/none`, `${directory}/x`))).toBe('ENOENT')
    await files.rename(`${directory}/full`, `${directory}/empty`)
    expect(await files.list(`${directory}/empty`)).toEqual(['inner'])
  })

  test('hard links share bytes, symbolic links are followed by content and not by names', async () => {
    const { files, directory } = await fresh()
    await files.makeDirectory(`${directory}/tree`)
    await files.write(`${directory}/tree/a`, utf8('a'))
    await files.link(`${directory}/tree/a`, `${directory}/b`)
    await files.append(`${directory}/b`, utf8('b'))
    expect(await text(files, `${directory}/tree/a`)).toBe('ab')
    await files.symlink('tree', `${directory}/l`)
    expect(await files.readlink(`${directory}/l`)).toBe('tree')
    expect(await text(files, `${directory}/l/a`)).toBe('ab')
    expect(await text(files, `${directory}/l/../b`)).toBe('ab')
    await files.remove(`${directory}/l`)
    expect(await files.list(`${directory}/tree`)).toEqual(['a'])
    expect(await code(files.readlink(`${directory}/b`))).toBe('EINVAL')
    expect(await code(files.symlink('x', `${directory}/b`))).toBe('EEXIST')
    expect(await code(files.link(`${directory}/b`, `${directory}/tree`))).toBe('EEXIST')
    await files.symlink('loop', `${directory}/loop`)
    expect(await code(files.read(`${directory}/loop`))).toBe('ELOOP')
  })

  test('directories are made with their parents, listed, and removed with all that is in them', async () => {
    const { files, directory } = await fresh()
    await files.makeDirectory(`${directory}/a/b/c`)
    await files.makeDirectory(`${directory}/a/b/c`)
    await files.write(`${directory}/a/b/f`, utf8(''))
    await files.symlink(directory, `${directory}/a/up`)
    expect((await files.list(`${directory}/a/b`)).sort()).toEqual(['c', 'f'])
    await files.sync(`${directory}/a/b`)
    await files.remove(`${directory}/a`)
    await files.remove(`${directory}/a`)
    await files.remove(`${directory}/a/b/c`)
    expect(await files.list(directory)).toEqual([])
  })

  test('every refusal of the system is a FileError with its code (F23)', async () => {
    const { files, directory } = await fresh()
    await files.write(`${directory}/f`, utf8(''))
    expect(await code(files.read(`${directory}/none`))).toBe('ENOENT')
    expect(await code(files.read(directory))).toBe('EISDIR')
    expect(await code(files.read(`${directory}/f/x`))).toBe('ENOTDIR')
    expect(await code(files.write(`${directory}/none/x`, utf8('')))).toBe('ENOENT')
    expect(await code(files.write(directory, utf8('')))).toBe('EISDIR')
    expect(await code(files.writeDurable(`${directory}/none/x`, utf8('')))).toBe('ENOENT')
    expect(await code(files.list(`${directory}/f`))).toBe('ENOTDIR')
    expect(await code(files.makeDirectory(`${directory}/f`))).toBe('EEXIST')
    expect(await code(files.makeDirectory(`${directory}/f/x`))).toBe('ENOTDIR')
    expect(await code(files.sync(`${directory}/none`))).toBe('ENOENT')
    expect(await code(gather(files.stream(`${directory}/none`)))).toBe('ENOENT')
    expect(await code(files.freeBytes(`${directory}/none`))).toBe('ENOENT')
    expect(await files.freeBytes(directory)).toBeGreaterThan(0)
  })
}
