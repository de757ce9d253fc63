import { Option } from 'commander'
import type { ReleaseView } from '../../protocol/http/releases.ts'
import { restoreContracts, type DifferenceView, type RestoreView } from '../../protocol/http/restores.ts'
import { restoreVerdicts, type RestoreVerdict } from '../../protocol/states.ts'
import { listAll, type Client } from '../client.ts'
import { exitCodes, type ExitName } from '../exit-codes.ts'
import { printList, type Shape } from '../output/print.ts'
import { timeText } from '../output/words.ts'
import { wholeNumber } from '../read-options.ts'
import { runInfra } from '../run-infra.ts'
import type { AddCommands, Session } from '../session.ts'

const differenceShape: Shape<DifferenceView> = {
  nameOf: (difference) => difference.site,
  none: 'no site differs from the backup',
  columns: [
    { title: 'SITE', value: ({ site }) => site },
    { title: 'IS', value: ({ verdict }) => verdict },
    { title: 'BACKUP SAYS', value: ({ backup }) => backup?.running?.id ?? '-' },
    { title: 'SITE SAYS', value: ({ heard }) => heard?.running?.id ?? '-' },
    { title: 'WHY', value: ({ why }) => why },
    { title: 'LAST ATTEMPT', value: ({ heard }) => (heard?.attempt == null ? '-' : `${heard.attempt.deployment} #${heard.attempt.attempt}`), wide: true },
    { title: 'HEARD', value: ({ heard }) => timeText(heard?.at ?? null), wide: true },
  ],
}

/** Runs infra/backup/main.ts or infra/restore/main.ts, which read the controller's own settings, and ends as it ends. */
async function run({ io, endWith }: Session, program: 'backup' | 'restore', args: readonly string[]): Promise<void> {
  const status = await runInfra(io, program, args)
  endWith((Object.keys(exitCodes) as ExitName[]).find((name) => exitCodes[name].code === status) ?? 'failure')
}

const settingsNote = 'Runs where the settings of the controller are (MURMUR_DATA, MURMUR_DATABASE_URL, MURMUR_S3_…): it needs its database and its object store, and no token.'

export const addBackupCommands: AddCommands = (program, act) => {
  const backup = program.command('backup').description('copies of the database in the object store').addHelpText('after', `\n${settingsNote}`)
  backup.command('take', { isDefault: true }).description('make a backup; the controller goes on meanwhile').option('--keep <n>', 'remove all but the newest n afterwards', wholeNumber)
    .action(act<{ keep?: number }>(async (session, _, { keep }) => run(session, 'backup', ['take', ...(keep === undefined ? [] : ['--keep', String(keep)])])))
  backup.command('list').alias('ls').description('list backups, the oldest first')
    .action(act(async (session) => run(session, 'backup', ['list', ...(session.format === 'json' ? ['--json'] : [])])))
  backup.command('verify [backup]').description('read a backup, the newest unless named, and hold it against its digests')
    .action(act(async (session, [name]) => run(session, 'backup', ['verify', ...(name === undefined ? [] : [name])])))

  const restore = program.command('restore').description('make an empty database what a backup says').addHelpText('after', `\n${settingsNote}`)
  restore.command('database', { isDefault: true }).description('restore the newest backup, or the one named, into an empty database')
    .option('--backup <name>', 'as murmur backup list shows it').option('--digest <sha256>', 'what its index must have, if you kept it elsewhere').option('--without-tokens', 'leave all tokens out; the controller makes a first admin again')
    .action(act<{ backup?: string; digest?: string; withoutTokens?: boolean }>(async (session, _, { backup: name, digest, withoutTokens }) =>
      run(session, 'restore', [...(name === undefined ? [] : ['--backup', name]), ...(digest === undefined ? [] : ['--digest', digest]), ...(withoutTokens === true ? ['--without-tokens'] : [])])))
  restore.command('differences').alias('diff').description('where sites differ from the backup that the controller came back from')
    .addOption(new Option('--verdict <verdict>', 'only these; without it all but as-in-backup').choices([...restoreVerdicts]))
    .action(act<{ verdict?: RestoreVerdict }>(async ({ io, format, client }, _, { verdict }) => {
      const { restored, items } = await readDifferences(await client(), verdict)
      if (format === 'table' || format === 'wide') io.err(sayRestore(restored))
      printList({ io, format }, differenceShape, items)
    }))
  restore.command('releases').description('announce again what sites run and this controller has forgotten, out of the object store')
    .action(act(async ({ io, format, client }) => {
      const api = await client()
      const forgotten = (await readDifferences(api)).items.flatMap(({ heard }) => (heard === null || heard.releaseKnown || heard.running === null ? [] : [heard.running.digest]))
      const found: ReleaseView[] = []
      for (const digest of new Set(forgotten)) found.push(await api.call(restoreContracts.rememberRelease, { body: { digest } }))
      printList({ io, format }, rememberedShape, found)
    }))
}

async function readDifferences(api: Client, verdict?: RestoreVerdict): Promise<{ restored: RestoreView | null; items: DifferenceView[] }> {
  let restored: RestoreView | null = null
  const items = await listAll(async (page) => {
    const answer = await api.call(restoreContracts.listDifferences, { query: { ...page, ...(verdict === undefined ? {} : { verdict }) } })
    restored = answer.restore
    return answer
  })
  return { restored, items }
}

const rememberedShape: Shape<ReleaseView> = {
  nameOf: ({ id }) => id,
  none: 'every release that a site runs is known here',
  columns: [{ title: 'RELEASE', value: ({ id }) => id }, { title: 'STATE', value: ({ state }) => state }, { title: 'DIGEST', value: ({ digest }) => digest }],
}

const sayRestore = (restored: RestoreView | null): string =>
  restored === null ? 'this controller never came back from a backup\n' : `back from ${restored.backup}, taken ${timeText(restored.takenAt)}, restored ${timeText(restored.restoredAt)}, epoch ${restored.epoch}\n`
