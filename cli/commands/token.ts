import { Option } from 'commander'
import { operationContracts, type TokenView } from '../../protocol/http/operations.ts'
import { roles, type Role } from '../../protocol/states.ts'
import { listAll } from '../client.ts'
import { printList, printText, type Shape } from '../output/print.ts'
import { timeText } from '../output/words.ts'
import { span } from '../read-options.ts'
import type { AddCommands } from '../session.ts'

const tokenShape: Shape<TokenView> = {
  nameOf: (token) => token.id,
  none: 'no tokens',
  columns: [
    { title: 'TOKEN', value: (token) => token.id },
    { title: 'NAME', value: (token) => token.name },
    { title: 'ROLE', value: (token) => token.role },
    { title: 'EXPIRES', value: (token) => timeText(token.expiresAt) },
    { title: 'REVOKED', value: (token) => timeText(token.revokedAt) },
    { title: 'CREATED', value: (token) => timeText(token.createdAt), wide: true },
    { title: 'BY', value: (token) => token.createdBy, wide: true },
  ],
}

export const addTokenCommands: AddCommands = (program, act) => {
  const token = program.command('token').description('bearer tokens of people and pipelines')

  token.command('create <name>').description('make a token; its secret is shown once')
    .addOption(new Option('--role <role>', 'what it may do').choices([...roles]).makeOptionMandatory()).option('--expires-in <span>', 'such as 90d; never without it', span)
    .action(act<{ role: Role; expiresIn?: number }>(async ({ io, format, client }, [name], { role, expiresIn }) => {
      const made = await (await client()).call(operationContracts.createToken, { body: { name: name!, role, ...(expiresIn === undefined ? {} : { expiresIn }) } })
      if (format === 'table' || format === 'wide') io.err(`${made.token.id} may act as ${role}; its secret is shown only now:\n`)
      printText({ io, format }, made, `${made.secret}\n`)
    }))

  token.command('list').alias('ls').description('list tokens')
    .action(act(async ({ io, format, client }) => {
      const api = await client()
      printList({ io, format }, tokenShape, await listAll((page) => api.call(operationContracts.listTokens, { query: page })))
    }))

  token.command('revoke <token>').description('revoke a token at once')
    .action(act(async ({ io, client }, [id]) => {
      await (await client()).call(operationContracts.revokeToken, { params: { token: id! } })
      io.err(`${id!} is revoked\n`)
    }))

  program.command('whoami').description('the role behind the token, and the fleet')
    .action(act(async ({ io, format, client }) => {
      const who = await (await client()).call(operationContracts.whoAmI, {})
      printText({ io, format }, who, `${who.actor} (${who.role}) in the fleet ${who.fleet}, root key ${who.rootFingerprint ?? 'not installed yet'}\n`)
    }))
}
