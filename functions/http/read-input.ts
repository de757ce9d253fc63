import * as z from 'zod'
import { FleetError, issuesOf } from '../../protocol/errors.ts'
import type { Contract } from '../../protocol/http/contract.ts'
import { parseStrictJson } from './strict-json.ts'

type Faults = { path: string; message: string }[]
const nothing = z.strictObject({})

/**
 * Path parameters, query and body as the contract has them. Throws one `bad-request` that lists everything wrong with
 * all three. An empty body counts as `{}`, so that an operation whose fields all have defaults needs none.
 */
export function readInput(contract: Contract, request: Request, params: Record<string, string>, body: Uint8Array): { params: unknown; query: unknown; body: unknown } {
  const faults: Faults = []
  const input = {
    params: parsePart(contract.params, params, 'path', faults),
    query: parsePart(contract.query, readQuery(new URL(request.url).searchParams, faults), 'query', faults),
    body: parsePart(contract.body ?? nothing, readJson(request, body, faults), null, faults),
  }
  if (faults.length > 0) throw new FleetError('bad-request', faults.map((fault) => `${fault.path}: ${fault.message}`).slice(0, 5).join('; '), { errors: faults })
  return input
}

/** `undefined` marks a part that is known to be unreadable: its fault is already noted. */
function parsePart(schema: z.ZodType, value: unknown, place: string | null, faults: Faults): unknown {
  if (value === undefined) return undefined
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  faults.push(...issuesOf(parsed.error).map(({ path, message }) => ({ path: place === null ? path : path === '(body)' ? place : `${place}.${path}`, message })))
  return undefined
}

function readQuery(search: URLSearchParams, faults: Faults): Record<string, string> | undefined {
  const names = [...search.keys()]
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice === undefined) return Object.fromEntries(search)
  faults.push({ path: `query.${twice}`, message: 'is given twice' })
  return undefined
}

function readJson(request: Request, body: Uint8Array, faults: Faults): unknown {
  if (body.length === 0) return {}
  const mediaType = (request.headers.get('content-type') ?? '').split(';')[0]!.trim().toLowerCase()
  if (mediaType !== 'application/json') {
    faults.push({ path: '(body)', message: 'must have the content-type application/json' })
    return undefined
  }
  try {
    return parseStrictJson(body)
  } catch (error) {
    faults.push({ path: '(body)', message: `is not valid JSON: ${(error as SyntaxError).message}` })
    return undefined
  }
}
