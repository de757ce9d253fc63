#!/usr/bin/env node
// Plain JavaScript for whatever Node this is: the agent itself needs one that reads TypeScript.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const nodeMajorMin = 24
/** EX_UNAVAILABLE of sysexits.h. */
const unavailable = 69
const beside = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url))
const isNewEnough = Number.parseInt(process.versions.node, 10) >= nodeMajorMin

if (isNewEnough) {
  const { main } = await import('./main.ts')
  process.exitCode = await main(process.argv.slice(2))
} else if (existsSync(beside) && process.env.MURMUR_AGENT_REEXECUTED !== '1') {
  const child = spawn(beside, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit', env: { ...process.env, MURMUR_AGENT_REEXECUTED: '1' } })
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code) => process.exit(code ?? 1))
} else {
  process.stderr.write(`murmur-agent needs Node ${nodeMajorMin} or newer; this is ${process.versions.node}, and there is none at ${beside}\n`)
  process.exitCode = unavailable
}
