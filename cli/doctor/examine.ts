import { createHash } from 'node:crypto'
import type { Problem } from '../../protocol/errors.ts'
import type { ResponseOf } from '../../protocol/http/contract.ts'
import { linkContracts } from '../../protocol/http/links.ts'
import { operationContracts } from '../../protocol/http/operations.ts'
import { limits } from '../../protocol/limits.ts'
import type { ControllerAccess } from '../find-controller.ts'
import type { Io } from '../io.ts'
import { ask, problemText } from './ask.ts'
import { doubtful, failing, tryLink, working, type Finding } from './finding.ts'
import { lookAtNetwork } from './look-at-network.ts'

type Links = ResponseOf<typeof linkContracts.checkLinks>
/** `controller` is null when it could not be asked; its own checks are among `findings` otherwise. */
export type Examination = { url: string; controller: { version: string; host: string; time: string } | null; findings: Finding[] }

const offMsMax = 5_000
const lookAtLog = "the controller's log has the reason under this request id"

/** Uses every link to the controller from here, has the controller use its own, and returns what was found. Never rejects. */
export async function examine(io: Pick<Io, 'fetch' | 'nowMs'>, access: ControllerAccess): Promise<Examination> {
  const findings = await lookAtNetwork(new URL(access.url), io.nowMs)
  const none = { url: access.url, controller: null, findings }
  if (findings.at(-1)!.state === 'failing') return none
  const answers = await lookAtHttp(io, access)
  findings.push(...answers)
  if (answers[0]!.state === 'failing') return none
  const token = await lookAtToken(io, access)
  findings.push(token)
  if (token.state !== 'ok') return none
  const { finding, links } = await askForLinks(io, access)
  if (links === null) return { ...none, findings: [...findings, finding] }
  findings.push(await lookAtDownload(io, links), ...links.checks.map((check): Finding => ({ ...check, from: 'controller' })))
  return { url: access.url, controller: { version: links.version, host: links.host, time: links.time }, findings }
}

/** Whether a controller answers, whether it is ready, and what time it has. */
async function lookAtHttp(io: Pick<Io, 'fetch' | 'nowMs'>, access: ControllerAccess): Promise<Finding[]> {
  let offMs: number | null = null
  const http = await tryLink(io.nowMs, 'http', 'see whether the controller runs behind what takes the connections', async () => {
    const answer = await ask(io, access, operationContracts.health)
    offMs = answer.offMs
    if ('value' in answer) return working(`a controller answers, version ${answer.value.version}`)
    if ('problem' in answer) return failing(problemText(answer.problem), cureOf(answer.problem))
    return failing(`something answers, but no controller: ${answer.strange}`, 'name the URL of the controller itself, or see what stands before it')
  })
  if (http.state === 'failing') return [http]
  const ready = await tryLink(io.nowMs, 'ready', lookAtLog, async () => {
    const answer = await ask(io, access, operationContracts.ready)
    if ('value' in answer) return working(`${Object.keys(answer.value.checks).join(' and ')} answer the controller`)
    return 'problem' in answer ? failing(problemText(answer.problem), cureOf(answer.problem)) : failing(answer.strange, lookAtLog)
  })
  return [http, ready, ...(offMs === null ? [] : [await lookAtClock(io, offMs)])]
}

const lookAtClock = (io: Pick<Io, 'nowMs'>, offMs: number): Promise<Finding> =>
  tryLink(io.nowMs, 'clock', '', async () => {
    const words = `the controller's clock is ${(Math.abs(offMs) / 1000).toFixed(0)} s ${offMs < 0 ? 'behind' : 'ahead of'} the one here`
    const cure = 'set the clock of whichever machine is wrong (NTP)'
    if (Math.abs(offMs) > limits.agentClockSkewMs) return failing(words, `${cure}; agents whose clock is so far off are refused`)
    return Math.abs(offMs) > offMsMax ? doubtful(words, cure) : working('the same time here and at the controller, to a few seconds')
  })

const lookAtToken = (io: Pick<Io, 'fetch' | 'nowMs'>, access: ControllerAccess): Promise<Finding> =>
  tryLink(io.nowMs, 'token', lookAtLog, async () => {
    const cure = 'give a token of the role admin (--token or MURMUR_TOKEN): with it the controller checks its own links too'
    if (access.token === null) return failing('none was given', cure)
    const answer = await ask(io, access, operationContracts.whoAmI)
    if ('problem' in answer) return failing(problemText(answer.problem), answer.status < 500 ? cure : cureOf(answer.problem))
    if ('strange' in answer) return failing(answer.strange, lookAtLog)
    return answer.value.role === 'admin' ? working(`${answer.value.actor} is admin of the fleet ${answer.value.fleet}`) : failing(`${answer.value.actor} is only ${answer.value.role}`, cure)
  })

async function askForLinks(io: Pick<Io, 'fetch' | 'nowMs'>, access: ControllerAccess): Promise<{ finding: Finding; links: Links | null }> {
  let links: Links | null = null
  const finding = await tryLink(io.nowMs, 'links', lookAtLog, async () => {
    const answer = await ask(io, access, linkContracts.checkLinks)
    if ('problem' in answer) return failing(problemText(answer.problem), cureOf(answer.problem))
    if ('strange' in answer) return failing(answer.strange, 'bring controller and command to the same version')
    links = answer.value
    return working('the controller checked its own links')
  })
  return { finding, links }
}

/** Fetches from here what the controller has put into its store: as agents do. */
const lookAtDownload = (io: Pick<Io, 'fetch' | 'nowMs'>, { download }: Links): Promise<Finding> =>
  tryLink(io.nowMs, 'download', "see whether the store's own address is reached from outside; agents fetch from there", async () => {
    if (download === null) return { state: 'not-checked', detail: 'the controller could sign no download', cure: null }
    const { url, headers } = download.request
    const response = await io.fetch(url, { headers, signal: AbortSignal.timeout(10_000) })
    const bytes = new Uint8Array(await response.arrayBuffer())
    const { host } = new URL(url)
    if (!response.ok) return failing(`${host} answered ${response.status} to a signed download`, 'see whether key, region and bucket are those of this store (for a Worker MURMUR_S3_BUCKET is the bucket bound as OBJECTS), and whether its clock is right')
    if (createHash('sha256').update(bytes).digest('hex') !== download.sha256) return failing(`${host} gave other bytes than were put`, 'see whether a cache or proxy stands before the store, and take it away')
    return working(`a signed download from ${host} gave what was put there`)
  })

function cureOf(problem: Problem): string {
  switch (problem.reason) {
    case 'settings': return 'set these where the controller runs, and deploy or start it again'
    case 'migrations-pending': return '`murmur infra migrate --apply`, with the MURMUR_DATABASE_URL of the controller'
    case 'database-quota': return 'give the database more room: raise its plan or quota, or free its disk. Meanwhile sites finish what they were granted, and reports wait at the broker'
    case 'database-denied': return 'set MURMUR_DATABASE_URL and MURMUR_DATABASE_TOKEN to a database that exists and a token for it that is in force'
    case 'database-away': return 'see whether the database runs, and whether MURMUR_DATABASE_URL names it as it is reached from the controller'
    default: return `${lookAtLog} ${problem.requestId}`
  }
}
