import type { z } from 'zod'
import { ReleaseId } from '../../protocol/ids.ts'
import { RolloutPolicy, RolloutRequest } from '../../protocol/policy.ts'
import { CliError } from '../cli-error.ts'
import { parseYaml, readText } from '../files/read-yaml.ts'
import type { Io } from '../io.ts'
import { readSelector, selectorText, type SelectorOptions } from '../select-sites.ts'

export type RequestOptions = SelectorOptions & {
  file?: string; name?: string; maxParallel?: number | string; canary?: number | string; startAt?: string; priority?: string; staging?: 'ahead' | 'with-start'; joiners?: 'include' | 'exclude'; replaces?: string[]
}

type PolicyInput = z.input<typeof RolloutPolicy>
type RequestInput = z.input<typeof RolloutRequest>

/**
 * The rollout that a command line asks for. `-f` names a policy, or with a `target` in it a whole request; options win over
 * what the file says. Throws CliError `usage`, also when nothing says which sites are meant (F77).
 */
export async function readRolloutRequest(io: Pick<Io, 'directory' | 'input'>, release: string | undefined, options: RequestOptions): Promise<RequestInput> {
  const file = options.file === undefined ? { policy: {} } : await readFileOf(io, options.file)
  const selector = readSelector(options) ?? file.request?.selector ?? null
  if (selector === null) throw new CliError('usage', 'say which sites: -l for labels, --site for names, or --all for every site; without any, nothing would be selected')
  const target = release === undefined ? file.request?.target : { release: parseRelease(release) }
  if (target === undefined) throw new CliError('usage', 'say which release: name@version, or a file with a target')
  const name = options.name ?? file.request?.name ?? `${'release' in target ? target.release : `back from ${target.previousOf}`} to ${selectorText(selector)}`.slice(0, 200)
  const replaces = readReplaces(options.replaces) ?? file.request?.replaces
  const request = { name, target, selector, policy: withOptions(file.policy, options), ...(replaces === undefined ? {} : { replaces }) }
  const parsed = RolloutRequest.safeParse(request)
  if (!parsed.success) throw new CliError('usage', 'that is not a valid rollout', { details: parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) })
  return request as RequestInput
}

async function readFileOf(io: Pick<Io, 'directory' | 'input'>, name: string): Promise<{ request?: RequestInput; policy: PolicyInput }> {
  const yaml = parseYaml(await readText(io, name), name)
  const value = yaml.value as PolicyInput & RequestInput
  if (value !== null && typeof value === 'object' && 'target' in value) {
    yaml.check(RolloutRequest)
    return { request: value, policy: value.policy ?? {} }
  }
  yaml.check(RolloutPolicy, value ?? {})
  return { policy: value ?? {} }
}

function parseRelease(text: string): ReleaseId {
  const parsed = ReleaseId.safeParse(text)
  if (!parsed.success) throw new CliError('usage', `${text} is not a release: write name@version`)
  return parsed.data
}

function readReplaces(replaces: string[] | undefined): RequestInput['replaces'] {
  if (replaces === undefined) return undefined
  return replaces.includes('all') ? 'all' : replaces
}

function withOptions(policy: PolicyInput, options: RequestOptions): PolicyInput {
  const { maxParallel, canary, startAt, priority, staging, joiners } = options
  return {
    ...policy,
    ...(maxParallel === undefined ? {} : { maxParallel: maxParallel as NonNullable<PolicyInput['maxParallel']> }),
    ...(canary === undefined ? {} : { waves: withCanary(policy, canary) }),
    ...(startAt === undefined ? {} : { startAt }),
    ...(priority === undefined ? {} : { priority: Number(priority) }),
    ...(staging === undefined ? {} : { staging }),
    ...(joiners === undefined ? {} : { joiners }),
  }
}

/** The policy's waves with another size of its canary. */
function withCanary(policy: PolicyInput, size: number | string): NonNullable<PolicyInput['waves']> {
  const waves = RolloutPolicy.parse(policy).waves
  if (!waves.some((wave) => wave.name === 'canary')) throw new CliError('usage', '--canary: the policy has no wave that is called canary')
  return waves.map((wave) => (wave.name === 'canary' ? { ...wave, size: size as number } : wave))
}
