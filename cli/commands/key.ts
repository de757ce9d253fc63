import { readFile, rename, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Argument } from 'commander'
import { toBase64 } from '../../protocol/bytes.ts'
import { agentContracts } from '../../protocol/http/agent.ts'
import { operationContracts } from '../../protocol/http/operations.ts'
import type { Trust } from '../../protocol/trust.ts'
import { CliError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { readText } from '../files/read-yaml.ts'
import type { Io } from '../io.ts'
import { createKeyFile, keyRoles, publicKeyPath, readKeyFile, readPublicKeyFile, type KeyRole } from '../keys/key-file.ts'
import { signTrust } from '../keys/sign-trust.ts'
import { printText } from '../output/print.ts'
import { plain } from '../output/words.ts'
import { collect } from '../select-sites.ts'
import type { AddCommands } from '../session.ts'

type TrustOptions = { root: string; fleet?: string; addPublisher?: string[]; addFleetKey?: string[]; remove?: string[]; install?: boolean; fromController?: boolean }

function trustText(trust: Trust): string {
  const keys = (title: string, list: Trust['publisherKeys']): string => list.map((key) => `${title.padEnd(10)} ${key.keyid}  ${plain(key.name)}\n`).join('')
  return `trust.json version ${trust.version} of the fleet ${trust.fleet}\n${keys('root', [trust.rootKey])}${keys('publisher', trust.publisherKeys)}${keys('fleet', trust.fleetKeys)}`
}

export const addKeyCommands: AddCommands = (program, act) => {
  const key = program.command('key').description('signing keys and trust.json')

  key.command('create').addArgument(new Argument('<role>', 'what it will sign: trust.json, manifests or directives').choices([...keyRoles])).argument('<file>', 'where the private key goes; <file>.pub.json beside it may be given away')
    .description('make an Ed25519 key').option('--name <name>', "whose it is, as trust.json shows it")
    .action(act<{ name?: string }>(async ({ io, format }, [role, file], { name }) => {
      const path = resolve(io.directory, file!)
      const made = await createKeyFile(path, role as KeyRole, name ?? role!)
      printText({ io, format }, { ...made, file: path }, `${role!} key ${made.keyid}\nprivate: ${path} (keep it${role === 'root' ? ' offline' : ''})\npublic:  ${publicKeyPath(path)}\n`)
    }))

  key.command('show <file>').description('key id and public half of a private key file')
    .action(act(async ({ io, format }, [file]) => {
      const { keyid, publicKey } = await readKeyFile(resolve(io.directory, file!))
      printText({ io, format }, { keyid, publicKey: toBase64(publicKey) }, `key id      ${keyid}\npublic key  ${toBase64(publicKey)}\n`)
    }))

  key.command('trust [file]').description('make or extend trust.json, signed with the root key; then --install it')
    .requiredOption('--root <file>', 'the root key').option('--fleet <name>', 'the fleet a first trust.json is for')
    .option('--add-publisher <file>', "a publisher's .pub.json; may be repeated", collect).option('--add-fleet-key <file>', "a fleet key's .pub.json; may be repeated", collect).option('--remove <name>', 'a key by its name or the beginning of its id; may be repeated', collect)
    .option('--from-controller', 'begin with the one that the controller has').option('--install', 'put it to the controller')
    .action(act<TrustOptions>(async ({ io, format, client }, [file], options) => {
      const path = resolve(io.directory, file ?? 'trust.json')
      const previous: unknown = options.fromController === true ? await (await client()).call(agentContracts.getTrust, {}) : await readTrustFile(path)
      const [addPublishers, addFleetKeys] = await Promise.all((['publisher', 'fleet'] as const).map((role) =>
        Promise.all((options[role === 'publisher' ? 'addPublisher' : 'addFleetKey'] ?? []).map((name) => readPublicKeyFile(name, role, (one) => readText(io, one))))))
      const changes = { addPublishers: addPublishers!, addFleetKeys: addFleetKeys!, remove: options.remove ?? [] }
      const changed = addPublishers!.length + addFleetKeys!.length + changes.remove.length > 0
      if (!changed && options.install === true && previous !== null) return await install(await client(), io, previous)
      if (!changed) throw new CliError('usage', 'say what to change: --add-publisher, --add-fleet-key or --remove')
      const { envelope, trust } = await signTrust(await readKeyFile(resolve(io.directory, options.root)), { previous, fleet: options.fleet ?? null, changes, nowMs: io.nowMs() })
      await writeFile(`${path}.new`, `${JSON.stringify(envelope, null, 2)}\n`)
      await rename(`${path}.new`, path)
      printText({ io, format }, trust, trustText(trust))
      if (options.install === true) await install(await client(), io, envelope)
    }))
}

async function readTrustFile(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new CliError('usage', `${path} is not a trust.json: ${(error as Error).message}`)
  }
}

async function install(client: Client, io: Pick<Io, 'err'>, envelope: unknown): Promise<void> {
  const body = operationContracts.putTrust.body!.safeParse(envelope)
  if (!body.success) throw new CliError('usage', 'the file is not a signed trust.json')
  const { version, rootFingerprint } = await client.call(operationContracts.putTrust, { body: body.data })
  io.err(`version ${version} is installed; the root's fingerprint is ${rootFingerprint}\n`)
}
