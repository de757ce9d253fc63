import { cp, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { bundle } from '../package/bundle.ts'

const root = join(import.meta.dirname, '../..')

/** What a server runs of this repository, under the names of the files they become. */
const programs = { controller: 'functions/entry/node.ts', backup: 'infra/backup/main.ts', restore: 'infra/restore/main.ts', bridge: 'infra/bridge/main.ts' }

/** What cannot be bundled: the database's native library, and what loads it. */
const nativePackages = ['libsql', '@neon-rs/load', 'detect-libc']

/**
 * The controller on Node in a directory of its own, without sources and without npm: `lib/controller/controller.mjs`, beside it backup, restore,
 * the bridge and the migrations, the console, and the native library in `node_modules`. Returns the packages that are in it.
 */
export async function bundleController(directory: string): Promise<string[]> {
  const place = join(directory, 'lib/controller')
  await mkdir(place, { recursive: true })
  // what only some settings need is loaded only then
  const bundled = await bundle({ entryPoints: programs, outdir: place, outExtension: { '.js': '.mjs' }, chunkNames: 'part-[hash]', splitting: true, external: ['libsql'] })
  await cp(join(root, 'db/migrations'), join(place, 'migrations'), { recursive: true })
  await cp(join(root, 'console'), join(directory, 'console'), { recursive: true })
  const platforms = (await readdir(join(root, 'node_modules/@libsql'))).filter((name) => /^(?:linux|darwin|win32)-/.test(name)).map((name) => `@libsql/${name}`)
  const copied = [...nativePackages, ...platforms]
  for (const name of copied) await cp(join(root, 'node_modules', name), join(directory, 'node_modules', name), { recursive: true })
  return [...new Set([...bundled, ...copied])].sort()
}
