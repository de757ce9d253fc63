import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Script } from 'node:vm'

const patienceMs = 60_000
const betweenMs = 50

/**
 * `keep-code.ts DIR`: starts the controller whose files are in DIR, in this process and with the settings of its environment, but on a free port; once it is
 * ready, keeps beside it the code that V8 has made of it by then, and ends it. What no start needs is not in it, and is compiled when it is first called.
 */
async function main(): Promise<void> {
  process.env.PORT = String(await freePort())
  const { script, codeFile } = (await import(pathToFileURL(join(process.argv[2]!, 'controller.mjs')).href)) as { script: Script; codeFile: string }
  await ready(`http://127.0.0.1:${process.env.PORT}/readyz`)
  await writeFile(codeFile, script.createCachedData())
  process.kill(process.pid, 'SIGTERM')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Resolves once it is ready; until it listens, nobody answers. */
async function ready(url: string): Promise<void> {
  const until = performance.now() + patienceMs
  while (!(await fetch(url).then((response) => response.ok, () => false))) {
    if (performance.now() > until) throw new Error('the controller does not become ready')
    await new Promise((resolve) => setTimeout(resolve, betweenMs))
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
