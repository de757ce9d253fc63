import { resolve } from 'node:path'
import { collectionContracts, type CollectionView } from '../../protocol/http/collection.ts'
import { operationContracts } from '../../protocol/http/operations.ts'
import { releaseContracts, type ReleaseView } from '../../protocol/http/releases.ts'
import { manifestReleaseId } from '../../protocol/manifest.ts'
import { listAll } from '../client.ts'
import { CliError } from '../cli-error.ts'
import { readText } from '../files/read-yaml.ts'
import { readKeyFile } from '../keys/key-file.ts'
import { printList, printOne, printText, writeYaml, type Shape } from '../output/print.ts'
import { bytesText, plain, plural, timeText } from '../output/words.ts'
import { planRelease, publishRelease, type PublishPlan } from '../publish/publish-release.ts'
import { parseReleaseFile } from '../publish/release-file.ts'
import { showPublishing } from '../publish/show-publishing.ts'
import { verifyRelease, type Verified } from '../publish/verify-release.ts'
import { span, wholeNumber } from '../read-options.ts'
import { confirm, type AddCommands, type Session } from '../session.ts'

const releaseShape: Shape<ReleaseView> = {
  nameOf: (release) => release.id,
  none: 'no releases',
  columns: [
    { title: 'RELEASE', value: (release) => release.id },
    { title: 'KIND', value: (release) => release.kind },
    { title: 'STATE', value: (release) => release.state },
    { title: 'COMPONENTS', value: (release) => String(release.components.length), align: 'right' },
    { title: 'CONTENT', value: (release) => bytesText(release.contentBytes), align: 'right' },
    { title: 'CREATED', value: (release) => timeText(release.createdAt) },
    { title: 'STORED', value: (release) => bytesText(release.storedBytes), align: 'right', wide: true },
    { title: 'ACTIVATION', value: (release) => release.activation, wide: true },
    { title: 'DIGEST', value: (release) => release.digest, wide: true },
  ],
  text: describeRelease,
}

function describeRelease(release: ReleaseView): string {
  const rows: [string, string][] = [
    ['release', `${release.id} (${release.kind}, ${release.activation})`], ['state', `${release.state}${release.detail === '' ? '' : `: ${release.detail}`}`], ['description', release.description || '-'],
    ['digest', release.digest], ['publisher', release.publisherKey], ['content', `${bytesText(release.contentBytes)}, ${bytesText(release.storedBytes)} stored in ${plural(release.objects, 'object')}`],
    ['created', timeText(release.createdAt)], ['available', timeText(release.availableAt)],
    ...release.components.map((component): [string, string] => ['component', `${component.name} ${component.version} by ${component.driver}, ${plural(component.files, 'file')} of ${bytesText(component.sizeBytes)}`]),
  ]
  return rows.map(([title, value]) => `${title.padEnd(12)} ${plain(value)}\n`).join('')
}

function planText({ manifest, objects, reused }: PublishPlan): string {
  const bytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return `${writeYaml(manifest)}\n${manifestReleaseId(manifest)} would bring ${plural(objects.length, 'object')} of ${bytesText(bytes)}; ${plural(reused, 'object')} of earlier releases would be used again.\n`
}

const verifiedText = (result: Verified): string =>
  `${result.release} is what ${result.publisher.name || 'its publisher'} (${result.publisher.keyid}) signed\ndigest     ${result.digest}\ntrust.json version ${result.trustVersion}, of the root ${result.rootFingerprint}\nsource     ${result.source}\n`

/** All pages of a collection as one. */
type Collection = Pick<CollectionView, 'dryRun' | 'collected' | 'kept' | 'freed' | 'removing'>

function collectionText({ dryRun, collected, kept, freed, removing }: Collection): string {
  const line = (mark: string) => ({ release, state, why, storedBytes }: CollectionView['kept'][number]): string => `${mark} ${release} (${state}, ${bytesText(storedBytes)} stored): ${plain(why)}\n`
  const end = `${plural(collected.length, 'release')} ${dryRun ? 'would give up' : 'gave up'} ${plural(freed.objects, 'object')} of ${bytesText(freed.bytes)} that no other release has${removing > 0 ? `; ${plural(removing, 'object')} still to be removed, which the controller goes on with` : ''}\n`
  return [...collected.map(line(dryRun ? 'goes ' : 'gone ')), ...kept.map(line('stays')), end].join('')
}

type PublishFlags = { key?: string; dryRun?: boolean; scratch?: string; level?: number; timeout?: number }

export const addReleaseCommands: AddCommands = (program, act) => {
  const release = program.command('release').description('signed releases and their bytes')

  release.command('publish <file>').description('scan, sign, upload and confirm the release that a release.yaml describes; repeating it goes on where it was interrupted')
    .option('--key <file>', "the publisher's private key (else MURMUR_PUBLISHER_KEY names the file); it stays here").option('--dry-run', 'show the manifest and what would be uploaded')
    .option('--level <level>', 'zstd level, 1 to 19', wholeNumber).option('--scratch <directory>', 'where compressed objects lie until they are uploaded').option('--timeout <span>', 'wait so long for the confirmation', span)
    .action(act<PublishFlags>(async (session, [name], options) => publish(session, name!, options)))

  release.command('list').alias('ls').description('list releases, newest first').option('--name <name>', 'of one product').option('--limit <count>', 'at most so many', wholeNumber)
    .action(act<{ name?: string; limit?: number }>(async ({ io, format, client }, _, { name, limit }) => {
      const api = await client()
      printList({ io, format }, releaseShape, await listAll((page) => api.call(releaseContracts.listReleases, { query: { ...page, ...(name === undefined ? {} : { name }) } }), limit))
    }))

  release.command('show <release>').description('show a release').option('--manifest', 'its whole manifest')
    .action(act<{ manifest?: boolean }>(async ({ io, format, client }, [id], { manifest }) => {
      const api = await client()
      if (manifest !== true) return printOne({ io, format }, releaseShape, await api.call(releaseContracts.getRelease, { params: { release: id! } }))
      const signed = await api.call(releaseContracts.getManifest, { params: { release: id! } })
      printText({ io, format }, signed.manifest, writeYaml(signed.manifest))
    }))

  release.command('verify <release>').description('check signature, trust and digest without believing the controller').option('--root-fingerprint <digest>', "the root key's id (else MURMUR_ROOT_FINGERPRINT, else .murmur/cli.json)").option('--source <file>', 'a release.yaml whose directories must hold exactly this content')
    .action(act<{ rootFingerprint?: string; source?: string }>(async (session, [id], options) => verify(session, id!, options)))

  release.command('withdraw <release>').description('no new rollout may take it; sites that run it keep it').requiredOption('--reason <text>', 'why')
    .action(act<{ reason: string }>(async ({ io, format, client }, [id], { reason }) => printOne({ io, format }, releaseShape, await (await client()).call(releaseContracts.withdrawRelease, { params: { release: id! }, body: { reason } }))))

  release.command('collect').description('give up the objects of releases that no site runs or could go back to: withdrawn, rejected and abandoned ones; shows what would go unless told to apply')
    .option('--apply', 'do it').option('--unused-for <span>', 'also available releases that nothing was done with for so long, but for the newest of each name', span).option('--yes', 'do not ask')
    .action(act<CollectFlags>(async (session, _, options) => collect(session, options)))
}

async function publish({ io, format, client }: Session, name: string, options: PublishFlags): Promise<void> {
  const file = parseReleaseFile(await readText(io, name), resolve(io.directory, name))
  const { dryRun, level } = options
  if (level !== undefined && (level < 1 || level > 19)) throw new CliError('usage', '--level is 1 to 19')
  const keyFile = options.key ?? io.env['MURMUR_PUBLISHER_KEY']
  if (keyFile === undefined && dryRun !== true) throw new CliError('usage', 'give the publisher\'s private key with --key, or its file name in MURMUR_PUBLISHER_KEY')
  const key = keyFile === undefined ? null : await readKeyFile(resolve(io.directory, keyFile))
  const shared = { client: await client(), file, ...(level === undefined ? {} : { level }), ...(options.scratch === undefined ? {} : { scratch: resolve(io.directory, options.scratch) }), ...(options.timeout === undefined ? {} : { confirmMs: options.timeout }) }
  if (dryRun === true) {
    const plan = await planRelease({ ...shared, key })
    return printText({ io, format }, plan, planText(plan))
  }
  const progress = showPublishing(io)
  const published = await publishRelease({ ...shared, key: key!, onProgress: progress.on }).finally(progress.end)
  printOne({ io, format }, releaseShape, published.release)
  io.err(`${published.release.id} is available: ${plural(published.uploaded, 'object')} of ${bytesText(published.uploadedBytes)} uploaded, ${published.present} there already\n`)
}

async function verify({ io, format, client, access }: Session, id: string, options: { rootFingerprint?: string; source?: string }): Promise<void> {
  const api = await client()
  let rootFingerprint = options.rootFingerprint ?? (await access()).rootFingerprint
  if (rootFingerprint === null) {
    rootFingerprint = (await api.call(operationContracts.whoAmI, {})).rootFingerprint
    if (rootFingerprint === null) throw new CliError('conflict', 'no trust.json is installed yet')
    io.err(`no root fingerprint is known here: this takes the controller's word for ${rootFingerprint}; give --root-fingerprint\n`)
  }
  const file = options.source === undefined ? undefined : parseReleaseFile(await readText(io, options.source), resolve(io.directory, options.source))
  const result = await verifyRelease(api, id, { rootFingerprint, ...(file === undefined ? {} : { file }) })
  printText({ io, format }, result, verifiedText(result))
}

type CollectFlags = { apply?: boolean; unusedFor?: number; yes?: boolean }

async function collect({ io, format, client }: Session, { apply, unusedFor, yes }: CollectFlags): Promise<void> {
  if (apply === true) await confirm(io, 'Give up these releases for good? Without --apply, this command shows which they are.', yes)
  const api = await client()
  const all: Collection = { dryRun: apply !== true, collected: [], kept: [], freed: { objects: 0, bytes: 0 }, removing: 0 }
  let cursor: string | null = null
  do {
    const body = { dryRun: all.dryRun, ...(unusedFor === undefined ? {} : { unusedFor }), ...(cursor === null ? {} : { cursor }) }
    const page: CollectionView = await api.call(collectionContracts.collectReleases, { body })
    all.collected.push(...page.collected)
    all.kept.push(...page.kept)
    all.freed = { objects: all.freed.objects + page.freed.objects, bytes: all.freed.bytes + page.freed.bytes }
    all.removing = page.removing
    cursor = page.next
  } while (cursor !== null)
  printText({ io, format }, all, collectionText(all))
}
