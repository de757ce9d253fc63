import { limits } from '../protocol/limits.ts'
import type { Fault } from '../protocol/reports.ts'
import { ArtifactError } from '../artifact/artifact-error.ts'
import { DriverError } from './driver/contract.ts'
import { FileError } from './host/host.ts'
import { explain } from './log.ts'

/** A step that could not be done, with the fault to report. `retry`: whether the same again may help. */
export class StepError extends Error {
  readonly fault: Fault
  readonly retry: boolean
  constructor(fault: Fault, more: { retry?: boolean; cause?: unknown } = {}) {
    super(`${fault.code}: ${fault.detail}`, { cause: more.cause })
    this.name = 'StepError'
    this.fault = fault
    this.retry = more.retry ?? false
  }
}

const codeOf = (error: unknown): string => {
  if (error instanceof FileError) return `disk-${error.code.toLowerCase()}`
  if (error instanceof DriverError) return error.code
  if (error instanceof ArtifactError) return error.reason
  return 'unexpected'
}

/** Whatever was thrown, as the fault of a report. `where` names node and component. */
export function faultOf(error: unknown, where: Partial<Pick<Fault, 'node' | 'component' | 'check'>> = {}): Fault {
  if (error instanceof StepError) return { ...where, ...error.fault }
  return { code: codeOf(error).slice(0, 64), detail: explain(error).slice(0, limits.reasonLengthMax).toWellFormed(), ...where }
}
