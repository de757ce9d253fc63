import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { CliError } from './cli-error.ts'
import type { Io } from './io.ts'

/** Where the controller is, with whose rights to speak to it, and the root key it is known by. */
export type ControllerAccess = { url: string; token: string | null; rootFingerprint: string | null }

/** `.murmur/cli.json`, as `npm start` writes it into the directory it runs in. */
const CliFile = z.strictObject({ url: z.url({ protocol: /^https?$/ }), token: z.string().optional(), rootFingerprint: z.string().optional() })
const cliFileName = join('.murmur', 'cli.json')

/**
 * The flags, else `MURMUR_URL` and `MURMUR_TOKEN`, else the nearest `.murmur/cli.json` upwards. A token from the file goes
 * only to that file's own URL. Throws CliError `usage` when there is no URL anywhere.
 */
export async function findController(io: Pick<Io, 'env' | 'directory'>, flags: { url?: string | undefined; token?: string | undefined }): Promise<ControllerAccess> {
  const file = await nearestFile(io.directory)
  const url = flags.url ?? io.env['MURMUR_URL'] ?? file?.url
  if (url === undefined) {
    throw new CliError('usage', `no controller is named: give --url, set MURMUR_URL, or run this below a directory with ${cliFileName} (npm start writes one)`)
  }
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new CliError('usage', `the controller's URL is not an http or https URL: ${url}`)
  const known = file !== null && new URL(url).origin === new URL(file.url).origin ? file : null
  return {
    url: url.replace(/\/+$/, ''),
    token: flags.token ?? io.env['MURMUR_TOKEN'] ?? known?.token ?? null,
    rootFingerprint: io.env['MURMUR_ROOT_FINGERPRINT'] ?? known?.rootFingerprint ?? null,
  }
}

async function nearestFile(directory: string): Promise<z.infer<typeof CliFile> | null> {
  const path = join(directory, cliFileName)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw new CliError('usage', `${path} cannot be read: ${error.message}`)
  })
  if (text !== null) return parseCliFile(path, text)
  const parent = dirname(directory)
  return parent === directory ? null : nearestFile(parent)
}

function parseCliFile(path: string, text: string): z.infer<typeof CliFile> {
  try {
    return CliFile.parse(JSON.parse(text))
  } catch (error) {
    throw new CliError('usage', `${path} is not what it must be`, { details: error instanceof z.ZodError ? error.issues.map((i) => `${i.path.join('.') || '(file)'}: ${i.message}`) : ['it is not JSON'] })
  }
}
