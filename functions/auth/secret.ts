import { toHex, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import type { Ids } from '../ports/ids.ts'

/** What a bearer token looks like; anything else is refused without a look into the database. */
export const tokenPattern = /^mm_[0-9a-f]{40}$/

/** 160 bits of chance behind a prefix that says what it is for: `mm` a token, `mc` a claim. */
export const newSecret = (ids: Ids, prefix: 'mm' | 'mc'): string => `${prefix}_${toHex(ids.secret(20))}`

/** What is kept of a secret: with so much chance in it, a plain SHA-256 cannot be searched (F70). */
export const hashSecret = async (crypto: Crypto, secret: string): Promise<string> => toHex(await crypto.sha256(utf8(secret)))
