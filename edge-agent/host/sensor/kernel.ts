import { open, readdir } from 'node:fs/promises'

/** The kernel's files (`/proc`, `/sys`) and others that are read like them, below a root: `/`, or a directory that holds a machine's files. */
export interface Kernel {
  /** The beginning of a file, or null where it cannot be read. */
  text(path: string, bytesMax?: number): Promise<string | null>
  /** Names in a directory in order; none where it cannot be read. */
  names(path: string): Promise<string[]>
  /** Where a path of the machine is for this process. */
  at(path: string): string
}

const textBytes = 4096

export function createKernel(root: string): Kernel {
  const at = (path: string): string => (root === '/' ? path : `${root}${path}`)
  return {
    at,
    async text(path, bytesMax = textBytes) {
      const handle = await open(at(path), 'r').catch(() => null)
      if (handle === null) return null
      try {
        const bytes = Buffer.allocUnsafe(bytesMax)
        let filled = 0
        // A file of the kernel has no size, and gives as much at a time as it likes.
        for (let read = 1; read > 0 && filled < bytesMax; filled += read) read = (await handle.read(bytes, filled, bytesMax - filled, null)).bytesRead
        return bytes.toString('utf8', 0, filled)
      } catch {
        return null
      } finally {
        await handle.close()
      }
    },
    names: async (path) => (await readdir(at(path)).catch(() => [])).sort(),
  }
}

/** A number as the kernel writes them, or null for anything else and for what a number cannot hold exactly. */
export function wholeNumber(text: string | null | undefined): number | null {
  const digits = text?.trim() ?? ''
  const value = /^\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN
  return Number.isSafeInteger(value) ? value : null
}
