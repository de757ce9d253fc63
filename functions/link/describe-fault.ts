import { findDatabaseFault, type DatabaseFaultReason } from '../../db/database-fault.ts'
import { FleetError } from '../../protocol/errors.ts'

const databaseCures: Record<DatabaseFaultReason, string> = {
  'database-quota': 'give it more room: raise the plan or the quota where the database is hosted, or free its disk. Meanwhile sites finish what they were granted, and reports wait at the broker',
  'database-denied': 'set MURMUR_DATABASE_URL to a database that exists, and MURMUR_DATABASE_TOKEN to a token for it that is in force and may write',
  'database-busy': 'find out who else holds it for seconds; a copy or a long transaction by another program does',
  'database-away': 'see whether it runs, and whether MURMUR_DATABASE_URL names it as it is reached from the controller',
}

/** An error as one line for an operator, without what only the log should hold; `cure` where the error itself tells. */
export function describeFault(error: unknown): { detail: string; cure: string | null; reason: string | null } {
  const fault = findDatabaseFault(error)
  if (fault !== null) return { detail: fault.message, cure: databaseCures[fault.reason], reason: fault.reason }
  if (error instanceof FleetError) return { detail: error.message, cure: null, reason: error.reason ?? null }
  return { detail: error instanceof Error ? error.message.split('\n')[0]!.slice(0, 300) : String(error).slice(0, 300), cure: null, reason: null }
}
