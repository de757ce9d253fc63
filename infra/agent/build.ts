import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { finished } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { createGzip } from 'node:zlib'
import { scanTree } from '../../artifact/scan-tree.ts'
import { agentVersion, protocolRange } from '../../edge-agent/agent-version.ts'
import { nodeFor, type Architecture } from '../package/node-for.ts'
import { buildVersion } from './build-version.ts'
import { writeTar, type TarEntry } from './write-tar.ts'

const help = `node infra/launch.mjs infra/agent/build.ts --out DIR [--arch x64|arm64] [--node DIR]

Makes DIR/murmur-agent-<version>-linux-<arch>.tar.gz: the agent as one file, its Node, the launcher, a systemd unit and
install.sh. The same sources and the same Node give the same bytes.
  --arch    the machine it is for (this one's)
  --node    a directory with bin/node and LICENSE (node_modules/node-linux-<arch>)
`
/** 2000-01-01: every file of the archive is of that moment. */
const mtimeS = 946_684_800
const beside = { launcher: 0o755, 'install.sh': 0o755, 'murmur-agent.service': 0o644, 'murmur-agent.env': 0o644 } as const

/** What the archive holds: the installer's files, and one version under the digest of its tree. */
async function entriesOf(name: string, version: string, digest: string): Promise<TarEntry[]> {
  const entries: TarEntry[] = [{ kind: 'directory', path: name, mode: 0o755 }]
  for (const [file, mode] of Object.entries(beside)) entries.push({ kind: 'file', path: `${name}/${file}`, mode, content: await readFile(join(import.meta.dirname, file)) })
  const place = `${name}/versions/${digest}`
  for (const path of [`${name}/versions`, place, `${place}/bin`]) entries.push({ kind: 'directory', path, mode: 0o755 })
  for (const file of (await readdir(version)).filter((each) => each !== 'bin').sort()) entries.push({ kind: 'file', path: `${place}/${file}`, mode: 0o644, content: await readFile(join(version, file)) })
  entries.push({ kind: 'file', path: `${place}/bin/node`, mode: 0o755, content: await readFile(join(version, 'bin/node')) })
  return entries
}

async function pack(entries: readonly TarEntry[], path: string): Promise<void> {
  const gzip = createGzip({ level: 6 })
  const partial = `${path}.partial`
  const file = gzip.pipe(createWriteStream(partial))
  await Promise.all([writeTar(entries, gzip, mtimeS), finished(file)])
  await rename(partial, path)
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { out: text, arch: { ...text, default: process.arch }, node: text, help: { type: 'boolean', default: false } } })
  if (values.help) return void process.stdout.write(help)
  if (values.out === undefined || (values.arch !== 'x64' && values.arch !== 'arm64')) throw new Error(`--out is needed, and --arch is x64 or arm64\n\n${help}`)
  const architecture: Architecture = values.arch
  const scratch = await mkdtemp(join(tmpdir(), 'murmur-agent-build-'))
  try {
    const version = join(scratch, 'version')
    await buildVersion(version, values.node === undefined ? nodeFor(architecture) : resolve(values.node))
    const { ref } = await scanTree(version)
    const name = `murmur-agent-${agentVersion}-linux-${architecture}`
    const out = join(resolve(values.out), `${name}.tar.gz`)
    await mkdir(resolve(values.out), { recursive: true })
    await pack(await entriesOf(name, version, ref.digest), out)
    process.stdout.write(`${out}\nversion ${agentVersion} (${ref.digest}), speaks protocol ${protocolRange.min} to ${protocolRange.max}\n`)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
