#!/usr/bin/env node
// Plain JavaScript, so that an old Node can read it: finds a Node that runs the TypeScript sources and starts the command with it.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)

if (major > 24 || (major === 24 && minor >= 6)) {
  const { runMurmur } = await import('./main.ts')
  const { processIo } = await import('./io.ts')
  // ends through `exit`, where what lies in temporary directories is removed
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
  process.exitCode = await runMurmur(process.argv.slice(2), processIo())
} else {
  const node = bundledNode(dirname(fileURLToPath(import.meta.url)))
  if (node === null) {
    process.stderr.write(`murmur needs Node 24.6 or newer, and this is ${process.versions.node}: run npm install here, which brings one, or use Node 24\n`)
    process.exitCode = 1
  } else {
    const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    child.on('error', (error) => {
      process.stderr.write(`${node} could not be started: ${error.message}\n`)
      process.exitCode = 1
    })
    child.on('exit', (code) => {
      process.exitCode = code ?? 1
    })
  }
}

/** The Node that `npm install` put into the nearest `node_modules`, or null. */
function bundledNode(directory) {
  const path = join(directory, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node')
  if (existsSync(path)) return path
  const parent = dirname(directory)
  return parent === directory ? null : bundledNode(parent)
}
