#!/usr/bin/env node
/**
 * `node infra/launch.mjs <file.ts> [arguments]`: runs a program of this repository with everything it needs. Plain
 * JavaScript without dependencies, for whatever Node the machine has: it installs what is missing, then hands over to
 * Node 24, which runs TypeScript as it is.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const nodeAtLeast = [24, 6]

/** Ends the program with a reason that people can act on. */
function giveUp(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

/** Whether npm's own record of node_modules has every package of the lock file; only optional ones may be left out. */
function isInstalled() {
  const record = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(record)) return false
  const wanted = readJson(join(root, 'package-lock.json')).packages
  const held = readJson(record).packages
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true
    const found = held[path]
    return found === undefined ? entry.optional === true || entry.peer === true : found.version === entry.version
  })
}

function install() {
  process.stderr.write('Installing the dependencies of package-lock.json (once, about half a minute) …\n')
  const started = Date.now()
  const npm = process.env.npm_execpath
  const viaNode = npm !== undefined && npm.endsWith('.js')
  const options = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const result = spawnSync(viaNode ? process.execPath : 'npm', viaNode ? [npm, ...options] : options, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (result.error !== undefined) giveUp(`npm could not be started (${result.error.message}). Install Node with npm, or run "npm ci" in ${root} yourself.`)
  if (result.status !== 0) {
    const said = `${result.stderr}${result.stdout}`.trim().split('\n').slice(-12).join('\n')
    const offline = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ECONNRESET/.test(said)
    giveUp(`${said}\n\nnpm ci failed${offline ? ': its registry cannot be reached. Go online once' : ' (its words are above). Cure that'}, then start again.`)
  }
  process.stderr.write(`Installed in ${Math.round((Date.now() - started) / 1000)} s.\n`)
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > nodeAtLeast[0] || (major === nodeAtLeast[0] && minor >= nodeAtLeast[1])
}

/** This very Node where it is new enough, else the one that came with the dependencies. */
function findNode() {
  if (isNewEnough(process.versions.node)) return process.execPath
  const bundled = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(bundled)) return bundled
  return giveUp(
    `Node ${nodeAtLeast.join('.')} or newer is needed; this is ${process.versions.node}, and no Node comes with the dependencies for ${process.platform}-${process.arch}. ` +
      'Install Node 24 from https://nodejs.org, or run "npm ci" without --omit=optional.',
  )
}

function main() {
  const [file, ...args] = process.argv.slice(2)
  if (file === undefined) giveUp('usage: node infra/launch.mjs <file.ts> [arguments]')
  const program = resolve(root, file)
  if (!existsSync(program)) giveUp(`there is no ${file} in ${root}`)
  if (!isInstalled()) install()
  const child = spawn(findNode(), [program, ...args], { stdio: 'inherit' })
  // a terminal tells the whole group by itself; what is sent to this process alone has to be passed on
  for (const signal of ['SIGINT', 'SIGTERM']) {
    let passedOn = false
    process.on(signal, () => {
      if (!passedOn) child.kill(signal)
      passedOn = true
    })
  }
  child.on('error', (error) => giveUp(`${program} could not be started: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}

main()
