import { FleetError } from '../../protocol/errors.ts'
import { jsonLog } from '../adapters/node/json-log.ts'
import { sortableIds } from '../adapters/node/sortable-ids.ts'
import { describeError } from '../http/describe-error.ts'
import { problemOf, problemResponse } from '../http/problem.ts'
import { EnvironmentError } from './parse-environment.ts'

/**
 * The answer of functions that could not be set up: a 503 that lists what is wrong with the settings, or says that the
 * database is behind or refuses. Values of settings are in neither the answer nor the log.
 */
export function refuseRequest(error: unknown, nowMs: number): Response {
  const requestId = sortableIds.sortable(nowMs)
  jsonLog().write('error', 'controller.not-opened', { requestId, cause: error instanceof FleetError || error instanceof EnvironmentError ? error.message : describeError(error) })
  return problemResponse(problemOf(error instanceof EnvironmentError ? settingsError(error) : error, { requestId, ifMatch: false }), nowMs)
}

const settingsError = ({ faults }: EnvironmentError): FleetError =>
  new FleetError('unavailable', 'the settings of the controller are not valid', {
    reason: 'settings',
    errors: faults.map((fault) => {
      const colon = fault.indexOf(': ')
      return { path: fault.slice(0, colon), message: fault.slice(colon + 2) }
    }),
  })
