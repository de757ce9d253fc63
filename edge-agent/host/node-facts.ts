import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { availableParallelism, machine, release, totalmem } from 'node:os'
import type { Facts } from './host.ts'

const osReleasePaths = ['/etc/os-release', '/usr/lib/os-release']
/** systemd-timesyncd makes the directory when it starts and the file once it has set the clock. */
const timesyncDirectory = '/run/systemd/timesync'

/** The `KEY=value` lines of os-release(5), without their quotes. */
function parseOsRelease(text: string): Record<string, string> {
  const values: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const [, key, value] = /^([A-Z0-9_]+)=(.*)$/.exec(line.trim()) ?? []
    if (key !== undefined && value !== undefined) values[key] = value.replace(/^(["'])(.*)\1$/, '$2')
  }
  return values
}

async function osRelease(): Promise<Record<string, string>> {
  for (const path of osReleasePaths) {
    const text = await readFile(path, 'utf8').catch(() => null)
    if (text !== null) return parseOsRelease(text)
  }
  return {}
}

async function inventory(): Promise<Record<string, string>> {
  const system = await osRelease()
  return {
    operatingSystem: system['PRETTY_NAME'] ?? system['NAME'] ?? 'unknown',
    operatingSystemId: [system['ID'], system['VERSION_ID']].filter((part) => part !== undefined).join(' ') || 'unknown',
    kernel: release(),
    architecture: machine(),
    cpuCount: String(availableParallelism()),
    memoryBytes: String(totalmem()),
  }
}

/** What this machine says about itself. */
export const nodeFacts: Facts = {
  architecture: () => machine(),
  inventory,
  async clockSynchronised() {
    if (existsSync(`${timesyncDirectory}/synchronized`)) return true
    return existsSync(timesyncDirectory) ? false : null
  },
}
