import { execFile } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bundle } from '../package/bundle.ts'

const root = join(import.meta.dirname, '../..')

/** What a server runs of this repository beside the controller, under the names of the files they become. */
const tools = { backup: 'infra/backup/main.ts', restore: 'infra/restore/main.ts', bridge: 'infra/bridge/main.ts' }

/** What cannot be bundled: the database's native library, and what loads it. */
const nativePackages = ['libsql', '@neon-rs/load', 'detect-libc']

/**
 * The controller on Node in a directory of its own, without sources and without npm: `lib/controller/controller.mjs` with its code compiled for `node`, beside
 * it backup, restore, the bridge and the migrations, the console, and the native library in `node_modules`. Returns the packages that are in it.
 */
export async function bundleController(directory: string, node: string = process.execPath): Promise<string[]> {
  const place = join(directory, 'lib/controller')
  await mkdir(place, { recursive: true })
  const ofTools = await bundle({ entryPoints: tools, outdir: place, outExtension: { '.js': '.mjs' }, chunkNames: 'part-[hash]', splitting: true, external: ['libsql'] })
  // one script: only of scripts does V8 give away the code it has made of them by a certain time
  const ofProgram = await bundle({
    entryPoints: { program: 'functions/entry/node.ts' }, outdir: place, outExtension: { '.js': '.cjs' }, format: 'cjs', banner: {}, define: { 'import.meta.dirname': '__dirname' }, external: ['libsql'],
  })
  await copyFile(join(import.meta.dirname, 'controller.mjs'), join(place, 'controller.mjs'))
  await cp(join(root, 'db/migrations'), join(place, 'migrations'), { recursive: true })
  await cp(join(root, 'console'), join(directory, 'console'), { recursive: true })
  const platforms = (await readdir(join(root, 'node_modules/@libsql'))).filter((name) => /^(?:linux|darwin|win32)-/.test(name)).map((name) => `@libsql/${name}`)
  const copied = [...nativePackages, ...platforms]
  for (const name of copied) await cp(join(root, 'node_modules', name), join(directory, 'node_modules', name), { recursive: true })
  await keepCode(place, node)
  return [...new Set([...ofTools, ...ofProgram, ...copied])].sort()
}

/** V8's code fits the version of Node that made it, so that one makes it: by a start as on a new server, on this machine's loopback. */
async function keepCode(place: string, node: string): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), 'murmur-keep-code-'))
  try {
    await promisify(execFile)(node, [join(import.meta.dirname, 'keep-code.ts'), place], { env: { MURMUR_DATA: data, MURMUR_BROKER_PORT: '0', MURMUR_LOG: 'error' } })
  } finally {
    await rm(data, { recursive: true, force: true })
  }
}
