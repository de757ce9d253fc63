import type { TokenRow } from '../../db/schema/operations.ts'
import { at, atOrNull } from '../../protocol/http/contract.ts'
import type { TokenView } from '../../protocol/http/operations.ts'
import type { TokenId } from '../../protocol/ids.ts'

export const viewToken = (row: TokenRow): TokenView => ({
  id: row.id as TokenId, name: row.name, role: row.role, createdAt: at(row.createdMs), createdBy: row.createdBy, expiresAt: atOrNull(row.expiresMs), revokedAt: atOrNull(row.revokedMs),
})
