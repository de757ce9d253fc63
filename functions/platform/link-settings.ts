import * as z from 'zod'
import { parseAllowed } from '../webhook/judge-address.ts'
import type { Setting } from './parse-environment.ts'

/** One setting, with its type kept. */
export const setting = <S extends z.ZodType>(about: string, schema: S): Setting<S> => ({ about, schema })

export const httpUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).transform((url) => url.replace(/\/+$/, ''))
const text = z.string().min(1)

/** An object store with the S3 API. Both hosts read it: on Node it takes the place of the directory, on Workers it signs what clients send to and fetch from the bucket. */
export const s3Settings = {
  MURMUR_S3_ENDPOINT: setting('S3 API of the object store, such as `https://ACCOUNT.r2.cloudflarestorage.com` or `https://s3.eu-central-1.amazonaws.com`.', httpUrl.optional()),
  MURMUR_S3_BUCKET: setting('Its bucket.', text.optional()),
  MURMUR_S3_REGION: setting('Its region. Default `auto`, which is what R2 wants.', text.default('auto')),
  MURMUR_S3_ACCESS_KEY_ID: setting('Key that may read, write and delete objects of that bucket, and nothing else.', text.optional()),
  MURMUR_S3_SECRET_ACCESS_KEY: setting('Secret. The other half of that key.', text.optional()),
} as const

/** AWS IoT Core as the broker, in place of MURMUR_BROKER_URL. */
export const awsIotSettings = {
  MURMUR_AWS_IOT_ENDPOINT: setting("AWS IoT's data endpoint, as `aws iot describe-endpoint --endpoint-type iot:Data-ATS` names it, with `https://`.", httpUrl.optional()),
  MURMUR_AWS_REGION: setting('Region of that endpoint.', z.string().regex(/^[a-z]{2}(?:-[a-z]+)+-\d$/, 'must be a region such as eu-central-1').optional()),
  MURMUR_AWS_ACCOUNT: setting('Number of the account, 12 digits.', z.string().regex(/^\d{12}$/, 'must be 12 digits').optional()),
  MURMUR_AWS_ACCESS_KEY_ID: setting('Key of a user whose policy is the one that `murmur infra aws --print-policy` prints.', text.optional()),
  MURMUR_AWS_SECRET_ACCESS_KEY: setting('Secret. The other half of that key.', text.optional()),
  MURMUR_AWS_CONTROL_ENDPOINT: setting("AWS IoT's control plane. Default: the region's own.", httpUrl.optional()),
} as const

/** Where webhooks may go besides public addresses. */
export const webhookSettings = {
  MURMUR_WEBHOOK_ALLOW: setting(
    'Networks and hosts that webhooks may be sent to although they are private, with commas between them, such as `10.20.0.0/16, hooks.example.internal`; there also by plain http and to any port. Default: none.',
    z.string().default('').transform((list, check) => {
      const parsed = parseAllowed(list)
      if (parsed.ok) return parsed.value
      check.addIssue({ code: 'custom', message: parsed.refusal })
      return z.NEVER
    }),
  ),
} as const

type Values = Readonly<Record<string, unknown>>

/** Faults of settings of which either all are set or none. */
export function togetherFaults(values: Values, names: readonly string[]): string[] {
  const missing = names.filter((name) => values[name] === undefined)
  return missing.length === 0 || missing.length === names.length ? [] : missing.map((name) => `${name}: is missing; ${names.filter((other) => !missing.includes(other)).join(', ')} mean nothing without it`)
}

const s3Names = ['MURMUR_S3_ENDPOINT', 'MURMUR_S3_BUCKET', 'MURMUR_S3_ACCESS_KEY_ID', 'MURMUR_S3_SECRET_ACCESS_KEY'] as const
const awsNames = ['MURMUR_AWS_IOT_ENDPOINT', 'MURMUR_AWS_REGION', 'MURMUR_AWS_ACCOUNT', 'MURMUR_AWS_ACCESS_KEY_ID', 'MURMUR_AWS_SECRET_ACCESS_KEY'] as const

/** What is wrong between the settings of the links. */
export function linkFaults(values: Values): string[] {
  const faults = [...togetherFaults(values, s3Names), ...togetherFaults(values, awsNames)]
  if (values.MURMUR_AWS_IOT_ENDPOINT !== undefined && values.MURMUR_BROKER_URL !== undefined) faults.push('MURMUR_AWS_IOT_ENDPOINT, MURMUR_BROKER_URL: there is one broker; set one of them')
  return faults
}
