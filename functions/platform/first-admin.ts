import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureFirstAdmin } from '../auth/ensure-first-admin.ts'
import { hashSecret, newSecret } from '../auth/secret.ts'
import { newContext, type Deps } from '../context.ts'
import { readIfThere, readOrMakeSecret } from './secret-file.ts'

/**
 * Sees to it that somebody can get in: a new controller gets an admin token, whose secret is left in `admin-token` of
 * the data directory. Returns the secret that is there, or null once it was taken away. Safe at every start.
 */
export async function openFirstAdmin(deps: Deps, dataDirectory: string): Promise<string | null> {
  const path = join(dataDirectory, 'admin-token')
  const wasThere = (await readIfThere(path)) !== null
  const secret = (await readOrMakeSecret(path, () => newSecret(deps.ids, 'mm'))).trim()
  const ctx = newContext(deps, { name: 'controller', role: 'controller' }, deps.ids.sortable(deps.clock.nowMs()))
  const made = await ensureFirstAdmin(ctx, await hashSecret(deps.crypto, secret))
  if (made || wasThere) return secret
  await rm(path)
  return null
}
