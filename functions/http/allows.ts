import type { Contract } from '../../protocol/http/contract.ts'
import type { Actor } from '../context.ts'

type Access = Contract['access']

/** Which roles may do what a lowest role may: every role reads, an admin does everything, and `ingest` nothing but ingest. */
const admitted: Record<Exclude<Access, 'public'>, readonly Actor['role'][]> = {
  viewer: ['viewer', 'operator', 'publisher', 'admin'],
  operator: ['operator', 'admin'],
  publisher: ['publisher', 'admin'],
  admin: ['admin'],
  ingest: ['ingest', 'admin'],
  agent: ['agent'],
}

export const allows = (access: Access, role: Actor['role']): boolean => access === 'public' || admitted[access].includes(role)
