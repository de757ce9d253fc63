import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { constants } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import * as z from 'zod'
import { fromBase64, toBase64 } from '../../protocol/bytes.ts'
import { webCrypto } from '../../protocol/crypto.ts'
import { keyIdOf, type SigningKey } from '../../protocol/envelope.ts'
import { TrustedKey } from '../../protocol/trust.ts'
import { CliError } from '../cli-error.ts'

export const keyRoles = ['root', 'publisher', 'fleet'] as const
export type KeyRole = (typeof keyRoles)[number]

/** A private key as it is in a file of its own, and its public half. */
export type OwnKey = SigningKey & { publicKey: Uint8Array }
/** The file beside it that may be given away: what a trust.json lists, and what it is for. */
const PublicKeyFile = TrustedKey.extend({ role: z.enum(keyRoles) })
export type PublicKeyFile = z.infer<typeof PublicKeyFile>

const keyBytesMax = 16 * 1024
export const publicKeyPath = (path: string): string => `${path}.pub.json`

/**
 * Makes an Ed25519 key: the private half as PKCS #8 PEM that only its owner reads, the public half in `<path>.pub.json`.
 * Never replaces a file. Throws CliError.
 */
export async function createKeyFile(path: string, role: KeyRole, name: string): Promise<PublicKeyFile> {
  const { privateKey } = generateKeyPairSync('ed25519')
  const publicFile = await publicFileOf(rawPublicKey(privateKey), role, name)
  await writeNew(path, privateKey.export({ format: 'pem', type: 'pkcs8' }) as string, 0o600)
  await writeNew(publicKeyPath(path), `${JSON.stringify(publicFile, null, 2)}\n`, 0o644)
  return publicFile
}

async function publicFileOf(publicKey: Uint8Array, role: KeyRole, name: string): Promise<PublicKeyFile> {
  const parsed = PublicKeyFile.safeParse({ keyid: await keyIdOf(webCrypto, publicKey), publicKey: toBase64(publicKey), name, role })
  if (parsed.success) return parsed.data
  throw new CliError('usage', `the key's name is not valid: ${parsed.error.issues[0]!.message}`)
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  await writeFile(path, text, { mode, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(error.code === 'EEXIST' ? 'conflict' : 'usage', error.code === 'EEXIST' ? `${path} is there already, and a key is never written over` : `${path} cannot be written: ${error.message}`)
  })
}

/** Reads a private key. One that others than its owner could read is refused. Throws CliError `usage`. */
export async function readKeyFile(path: string): Promise<OwnKey> {
  const privateKey = parsePrivateKey(path, await readGuarded(path))
  const publicKey = rawPublicKey(privateKey)
  return { keyid: await keyIdOf(webCrypto, publicKey), privateKey: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })), publicKey }
}

async function readGuarded(path: string): Promise<string> {
  const handle = await open(path, constants.O_RDONLY).catch((error: Error) => {
    throw new CliError('usage', `the key ${path} cannot be read: ${error.message}`)
  })
  try {
    const facts = await handle.stat()
    if (!facts.isFile() || facts.size > keyBytesMax) throw new CliError('usage', `${path} is not a key file`)
    if ((facts.mode & 0o077) !== 0) throw new CliError('usage', `the key ${path} can be read by others than its owner (mode ${(facts.mode & 0o777).toString(8)}): run chmod 600 ${path}`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

function parsePrivateKey(path: string, pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    throw new CliError('usage', `${path} is not a private key in PEM${path.endsWith('.pub.json') ? ': name the file without .pub.json' : ''}`)
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new CliError('usage', `${path} is a key for ${key.asymmetricKeyType ?? 'something else'}, not Ed25519`)
  return key
}

function rawPublicKey(privateKey: KeyObject): Uint8Array {
  const { x } = createPublicKey(privateKey.export({ format: 'pem', type: 'pkcs8' }) as string).export({ format: 'jwk' }) as { x: string }
  return new Uint8Array(Buffer.from(x, 'base64url'))
}

/** Reads what `createKeyFile` wrote beside a key; the key id must be that of the key. Throws CliError `usage`. */
export async function readPublicKeyFile(path: string, role: KeyRole, readText: (path: string) => Promise<string>): Promise<TrustedKey> {
  const text = await readText(path)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new CliError('usage', `${path} is not a public key file: give the .pub.json that key create wrote`)
  }
  const parsed = PublicKeyFile.safeParse(value)
  if (!parsed.success) throw new CliError('usage', `${path} is not a public key file`, { details: parsed.error.issues.map((issue) => `${issue.path.join('.') || '(file)'}: ${issue.message}`) })
  const { role: actualRole, ...key } = parsed.data
  if (actualRole !== role) throw new CliError('usage', `${path} is a ${actualRole} key, and a ${role} key is wanted`)
  if ((await keyIdOf(webCrypto, fromBase64(key.publicKey))) !== key.keyid) throw new CliError('not-verified', `${path}: the key id is not the digest of the public key`)
  return key
}
