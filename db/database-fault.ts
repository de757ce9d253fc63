import { LibsqlError } from '@libsql/client'

/**
 * Why a database did not do what it was asked. `database-quota`: it takes no writes (or nothing) until somebody gives it more room;
 * `database-denied`: it does not let us in, or there is none under this name; `database-busy`: others held it for too long;
 * `database-away`: no answer, or none of a database.
 */
export type DatabaseFaultReason = 'database-quota' | 'database-denied' | 'database-busy' | 'database-away'

const sentences: Record<DatabaseFaultReason, string> = {
  'database-quota': 'the database is at its quota or its disk is full: it refuses to work until it gets more room',
  'database-denied': 'the database does not let this controller in',
  'database-busy': 'the database was held by others for too long',
  'database-away': 'the database does not answer',
}

/** The database did not do it, through no fault of the request: the same may succeed later. Whether it was done is unknown unless the reason is `database-quota`. */
export class DatabaseFault extends Error {
  readonly reason: DatabaseFaultReason
  constructor(reason: DatabaseFaultReason, cause: unknown) {
    super(sentences[reason], { cause })
    this.name = 'DatabaseFault'
    this.reason = reason
  }
}

/** `BLOCKED` is what sqld and Turso answer to statements that a quota forbids; the rest are SQLite's own, of a full or failing disk. */
const reasonOfCode: Record<string, DatabaseFaultReason> = {
  BLOCKED: 'database-quota', SQLITE_FULL: 'database-quota',
  SQLITE_AUTH: 'database-denied', SQLITE_PERM: 'database-denied', SQLITE_READONLY: 'database-denied',
  SQLITE_IOERR: 'database-away', SQLITE_CANTOPEN: 'database-away',
  HRANA_PROTO_ERROR: 'database-away', HRANA_CLOSED_ERROR: 'database-away', STREAM_EXPIRED: 'database-away', SERVER_ERROR: 'database-away',
}

const reasonOfStatus = (status: number): DatabaseFaultReason =>
  status === 402 || status === 429 || status === 507 ? 'database-quota' : status === 401 || status === 403 || status === 404 ? 'database-denied' : 'database-away'

const codeOf = (error: LibsqlError): string => error.code.replace(/^(SQLITE_(?:BUSY|FULL|AUTH|PERM|READONLY|IOERR|CANTOPEN))_.*/, '$1')

/** SQLite's refusal because somebody else writes: worth another try at once. */
export const isBusy = (error: unknown): boolean => error instanceof LibsqlError && codeOf(error) === 'SQLITE_BUSY'

/** The error itself, or the fault of the database that it stands for. */
export function toDatabaseFault(error: unknown): unknown {
  // an answer that is not even JSON is not a database's
  if (error instanceof SyntaxError) return new DatabaseFault('database-away', error)
  if (!(error instanceof LibsqlError)) return error
  if (isBusy(error)) return new DatabaseFault('database-busy', error)
  const status = (error.cause as { status?: unknown } | undefined)?.status
  const reason = typeof status === 'number' ? reasonOfStatus(status) : reasonOfCode[codeOf(error)]
  return reason === undefined ? error : new DatabaseFault(reason, error)
}

/** The fault of the database behind an error, however it was wrapped on its way; null when there is none. */
export function findDatabaseFault(error: unknown): DatabaseFault | null {
  if (error instanceof DatabaseFault) return error
  return error instanceof Error && error.cause !== undefined ? findDatabaseFault(error.cause) : null
}
