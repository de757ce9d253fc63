import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const file = 'mosquitto_dynamic_security.so'

/** Where this machine keeps mosquitto's dynamic-security plugin, or null: distributions differ, and Debian has a directory per architecture. */
export function findPlugin(): string | null {
  const multiarch = existsSync('/usr/lib') ? readdirSync('/usr/lib').filter((name) => name.endsWith('-linux-gnu')).map((name) => join('/usr/lib', name)) : []
  const directories = [...multiarch, '/usr/lib', '/usr/lib64', '/usr/local/lib', '/opt/homebrew/lib']
  return directories.map((directory) => join(directory, file)).find((path) => existsSync(path)) ?? null
}
