import type { JsonSchema } from './json-schemas.ts'

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
/** Text in which only words in backquotes are marked up. */
export const prose = (text: string): string => escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>')
const code = (value: unknown): string => `<code>${escapeHtml(typeof value === 'string' ? value : JSON.stringify(value))}</code>`

type Row = { name: string; required: boolean; schema: JsonSchema }

/** A table of an object's fields; those of objects inside it follow with their whole path. */
export function fieldTable(schema: JsonSchema): string {
  return tableOf(rowsOf(schema, ''))
}

export function tableOf(rows: readonly (Row & { description?: string })[]): string {
  if (rows.length === 0) return '<p class="rule">Nothing.</p>'
  const lines = rows.map(({ name, required, schema, description }) => {
    const rules = [description === undefined ? '' : prose(description), rulesOf(schema)].filter((text) => text !== '').join('; ')
    return `<tr><td><code>${escapeHtml(name)}</code>${required ? ' <span class="required" title="required">*</span>' : ''}</td><td>${typeOf(schema)}</td><td class="rule">${rules}</td></tr>`
  })
  return `<div class="scroll"><table><thead><tr><th>Field</th><th>Type</th><th>Rules</th></tr></thead><tbody>${lines.join('')}</tbody></table></div>`
}

function rowsOf(schema: JsonSchema, prefix: string): Row[] {
  const required = new Set((schema.required ?? []) as string[])
  const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)
  return properties.flatMap(([name, property]) => {
    const row = { name: `${prefix}${name}`, required: required.has(name), schema: property }
    return [row, ...innerRows(property, row.name)]
  })
}

/** Fields of an object, of the items of a list, or of the one object a value may be. Alternatives are each told in the type. */
function innerRows(schema: JsonSchema, path: string): Row[] {
  if (schema.properties !== undefined) return rowsOf(schema, `${path}.`)
  if (schema.type === 'array') return innerRows((schema.items ?? {}) as JsonSchema, `${path}[]`)
  const objects = alternativesOf(schema).filter((option) => option.properties !== undefined)
  return objects.length === 1 ? rowsOf(objects[0]!, `${path}.`) : []
}

const alternativesOf = (schema: JsonSchema): JsonSchema[] => (schema.anyOf ?? schema.oneOf ?? schema.allOf ?? []) as JsonSchema[]

/** What a value is, in a few words, with links to named schemas. */
export function typeOf(schema: JsonSchema): string {
  if (typeof schema.$ref === 'string') return `<a href="#schema-${schema.$ref.split('/').at(-1)}">${schema.$ref.split('/').at(-1)}</a>`
  if ('const' in schema) return code(schema.const)
  if (Array.isArray(schema.enum)) return schema.enum.map(code).join(' or ')
  const alternatives = alternativesOf(schema)
  if (alternatives.length > 0) return [...new Set(alternatives.map(alternativeOf))].join(' or ')
  if (schema.type === 'array') return `list of ${typeOf((schema.items ?? {}) as JsonSchema)}`
  if (schema.type === 'object' && schema.properties === undefined && typeof schema.additionalProperties === 'object') return `map to ${typeOf(schema.additionalProperties as JsonSchema)}`
  if (schema.format === 'date-time') return 'time'
  return typeof schema.type === 'string' ? schema.type : 'anything'
}

/** One object among several, by its fields. */
function alternativeOf(schema: JsonSchema): string {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)
  if (properties.length === 0) return typeOf(schema)
  const required = new Set((schema.required ?? []) as string[])
  return `{ ${properties.map(([name, property]) => `${escapeHtml(name)}${required.has(name) ? '' : '?'}: ${typeOf(property)}`).join(', ')} }`
}

function rulesOf(schema: JsonSchema): string {
  const rules: string[] = []
  if (schema.default !== undefined) rules.push(`default ${code(schema.default)}`)
  if (schema.minimum !== undefined) rules.push(`at least ${schema.minimum}`)
  if (schema.exclusiveMinimum !== undefined) rules.push(`more than ${schema.exclusiveMinimum}`)
  if (schema.maximum !== undefined) rules.push(`at most ${schema.maximum}`)
  if (schema.maxLength !== undefined) rules.push(`at most ${schema.maxLength} characters`)
  if (schema.maxItems !== undefined) rules.push(`at most ${schema.maxItems} items`)
  // a time's pattern says nothing that its format does not
  if (schema.pattern !== undefined && schema.format === undefined) rules.push(`pattern ${code(schema.pattern)}`)
  return rules.join('; ')
}
