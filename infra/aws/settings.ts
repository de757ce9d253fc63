import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import * as z from 'zod'
import type { AwsPlace } from '../../functions/adapters/aws/names.ts'
import { ingressContracts } from '../../protocol/http/ingress.ts'
import { FleetId } from '../../protocol/ids.ts'

export const help = `murmur infra aws --fleet NAME --region REGION --account NUMBER --controller URL [--token-file FILE] [--apply]
murmur infra aws --fleet NAME --region REGION --account NUMBER --print-policy

Sets up the account's side of AWS IoT Core for a fleet: the group of its things, the policy of its certificates, the rules
that carry reports to the controller, and the destination they go to. Shows first what it will change.
`

export class UsageError extends Error {}

const Place = {
  fleet: FleetId,
  region: z.string({ error: 'is missing' }).regex(/^[a-z]{2}(?:-[a-z]+)+-\d$/, 'must be a region such as eu-central-1'),
  account: z.string({ error: 'is missing' }).regex(/^\d{12}$/, 'must be the 12 digits of the account'),
}
const Wanted = z.object({ ...Place, controller: z.url({ protocol: /^https$/, error: 'must be the https URL at which AWS reaches the controller' }).transform((url) => url.replace(/\/+$/, '')) })

export type FleetPlace = AwsPlace & { fleet: FleetId }
/** What the account is to have. `token` is null where the rules are to keep the one they have. */
export type AccountSettings = FleetPlace & { webhookUrl: string; token: string | null }
export type Asked = { kind: 'help' } | { kind: 'print-policy'; place: FleetPlace } | { kind: 'set-up'; settings: AccountSettings; apply: boolean }

type Environment = Readonly<Record<string, string | undefined>>

/** What the command line and the environment ask for; throws UsageError that lists everything that is wrong. */
export async function readSettings(args: readonly string[], environment: Environment): Promise<Asked> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({ args: [...args], options: { 'fleet': text, 'region': text, 'account': text, 'controller': text, 'token-file': text, 'apply': flag, 'print-policy': flag, 'help': flag } })
  if (values.help) return { kind: 'help' }
  const given = {
    fleet: values.fleet ?? environment.MURMUR_FLEET, region: values.region ?? environment.MURMUR_AWS_REGION ?? environment.AWS_REGION,
    account: values.account ?? environment.MURMUR_AWS_ACCOUNT, controller: values.controller ?? environment.MURMUR_PUBLIC_URL,
  }
  if (values['print-policy']) return { kind: 'print-policy', place: parse(z.object(Place), given) }
  const { controller, ...place } = parse(Wanted, given)
  const token = values['token-file'] === undefined ? null : (await readFile(values['token-file'], 'utf8')).trim()
  if (token !== null && !/^mm_[0-9a-f]{40}$/.test(token)) throw new UsageError(`${values['token-file']} holds no token of a controller: murmur token create rule --role ingest > FILE`)
  return { kind: 'set-up', settings: { ...place, webhookUrl: `${controller}${ingressContracts.ingestWebhook.path}`, token }, apply: values.apply }
}

function parse<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  throw new UsageError(parsed.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}`).join('\n'))
}
