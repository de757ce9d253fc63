import { sql, type SQL } from 'drizzle-orm'
import { site } from '../../db/schema/fleet.ts'
import { FleetError } from '../../protocol/errors.ts'
import { parseSelector, type Selector } from '../../protocol/labels.ts'

/** The selector in a text; `path` is where the request has it. Throws `bad-request` that says what could not be read. */
export function readSelector(text: string, path = 'query.labelSelector'): Selector {
  try {
    return parseSelector(text)
  } catch (error) {
    const message = (error as SyntaxError).message
    throw new FleetError('bad-request', message, { errors: [{ path, message }] })
  }
}

/** What `selects` in protocol/labels.ts says, in SQL. Label keys cannot contain quotes, so that each is one step of a JSON path. */
export function selectorConditions(selector: Selector): SQL[] {
  if (selector.all === true) return []
  const terms = selector.matchExpressions ?? []
  if (terms.length === 0) return [sql`0`]
  return terms.map((term) => {
    const value = sql`${site.labels}->>${`$."${term.key}"`}`
    switch (term.operator) {
      case 'In': return sql`${value} IN ${term.values}`
      case 'NotIn': return sql`(${value} IS NULL OR ${value} NOT IN ${term.values})`
      case 'Exists': return sql`${value} IS NOT NULL`
      case 'DoesNotExist': return sql`${value} IS NULL`
    }
  })
}
