import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

/** The kernel's files of some machine in a directory, which goes when the test ends. Returns where they are. */
export function machineFiles(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'murmuration-machine-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return root
}

/** A machine where this path leads to a file of ours. */
export function machineWith(path: string, target: string): string {
  const root = machineFiles({})
  mkdirSync(dirname(join(root, path)), { recursive: true })
  symlinkSync(target, join(root, path))
  return root
}
