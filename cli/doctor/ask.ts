import { Problem } from '../../protocol/errors.ts'
import type { Contract, ResponseOf } from '../../protocol/http/contract.ts'
import type { Io } from '../io.ts'
import type { ControllerAccess } from '../find-controller.ts'

/** One answer of the controller: a value, a problem it states, or something that no controller says. `offMs`: its clock less ours, to about a second. */
export type Answer<C extends Contract> = { status: number; offMs: number | null } & ({ value: ResponseOf<C> } | { problem: Problem } | { strange: string })

const answerMsMax = 30_000

/** Asks once, and never again: a doctor reports what is, and does not wait for it to become better. Rejects when nothing answers. */
export async function ask<C extends Contract>(io: Pick<Io, 'fetch' | 'nowMs'>, access: ControllerAccess, contract: C): Promise<Answer<C>> {
  const startedMs = io.nowMs()
  const headers: Record<string, string> = { accept: 'application/json' }
  if (contract.access !== 'public' && access.token !== null) headers.authorization = `Bearer ${access.token}`
  const response = await io.fetch(`${access.url}${contract.path}`, { method: contract.method.toUpperCase(), headers, redirect: 'manual', signal: AbortSignal.timeout(answerMsMax) })
  const text = await response.text()
  const dateMs = Date.parse(response.headers.get('date') ?? '')
  const offMs = Number.isNaN(dateMs) ? null : dateMs + 500 - (startedMs + io.nowMs()) / 2
  return { status: response.status, offMs, ...read(contract, response, text) }
}

function read<C extends Contract>(contract: C, response: Response, text: string): { value: ResponseOf<C> } | { problem: Problem } | { strange: string } {
  const location = response.headers.get('location')
  if (location !== null) return { strange: `redirects to ${location}` }
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return { strange: `${response.status} with something that is not JSON` }
  }
  const problem = Problem.safeParse(body)
  if (problem.success) return { problem: problem.data }
  const value = contract.response.safeParse(body)
  return response.ok && value.success ? { value: value.data as ResponseOf<C> } : { strange: `${response.status} with something that no controller of this version says` }
}

/** A problem in one line, with every fault it lists. */
export function problemText(problem: Problem): string {
  const faults = (problem.errors ?? []).map(({ path, message }) => `${path}: ${message}`)
  return faults.length === 0 || faults.every((fault) => problem.detail.includes(fault)) ? problem.detail : `${problem.detail}: ${faults.join('; ')}`
}
