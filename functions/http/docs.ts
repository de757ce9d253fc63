import { toBase64, utf8 } from '../../protocol/bytes.ts'
import type { Crypto } from '../../protocol/crypto.ts'
import { errorCodes } from '../../protocol/errors.ts'
import { docsStyle } from './docs-style.ts'
import { escapeHtml, fieldTable, prose, tableOf, typeOf } from './docs-table.ts'
import type { JsonSchema } from './json-schemas.ts'
import type { OpenApi, Operation } from './openapi.ts'

type Route = { method: string; path: string; operation: Operation }

/** What the page may do: show itself with its own style sheet, and nothing else. */
export async function docsPolicy(crypto: Crypto): Promise<string> {
  return `default-src 'none'; style-src 'sha256-${toBase64(await crypto.sha256(utf8(docsStyle)))}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}

/** The reference of the API as one page, made from its OpenAPI document. */
export function renderDocs(api: OpenApi): string {
  const routes = Object.entries(api.paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, operation]): Route => ({ method, path, operation })))
  const sections = api.tags.map((tag) => ({ ...tag, routes: routes.filter(({ operation }) => operation.tags.includes(tag.name)) }))
  const schemas = Object.entries(api.components.schemas).sort(([a], [b]) => (a < b ? -1 : 1))
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(api.info.title)} API</title><style>${docsStyle}</style></head>
<body><nav><strong>${escapeHtml(api.info.title)}</strong><span class="version">API, version ${escapeHtml(api.info.version)}</span>
<h2>Start</h2><ul><li><a href="#conventions">Conventions</a></li><li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li><li><a href="/openapi.json">OpenAPI document</a></li></ul>
${sections.map((section) => `<h2>${escapeHtml(section.name)}</h2><ul>${section.routes.map(({ operation }) => `<li><a href="#${operation.operationId}">${escapeHtml(operation.summary.split(/[;:,]/)[0]!)}</a></li>`).join('')}</ul>`).join('\n')}
</nav><main><h1>${escapeHtml(api.info.title)} API</h1><p class="lead">${escapeHtml(api.info.description)}</p>
${conventions(api.servers[0]?.url ?? '')}${errors()}
${sections.map((section) => `<h2>${escapeHtml(section.name)}</h2><p>${prose(section.description)}</p>${section.routes.map((route) => articleOf(route, api)).join('\n')}`).join('\n')}
<h2 id="schemas">Schemas</h2><p>A red star marks a field that is always there, or must be. Names that end in <code>Input</code> are what is sent where it differs from what comes back.</p>
${schemas.map(([name, schema]) => `<article id="schema-${name}"><h3>${name}</h3>${typeof schema.description === 'string' ? `<p>${prose(schema.description)}</p>` : ''}${schemaBody(schema)}</article>`).join('\n')}
</main></body></html>`
}

const conventions = (url: string): string => `<h2 id="conventions">Conventions</h2>
<p>Everything is JSON over HTTPS below <code>${escapeHtml(url)}</code>. Send a token as <code>authorization: Bearer mm_…</code>. A viewer reads; an operator also runs sites and rollouts, a publisher also brings releases, an admin does everything.</p>
<p><strong>Times</strong> are RFC 3339 in UTC; lengths of time are written <code>90s</code>, <code>15m</code>, <code>24h</code>, <code>30d</code> or in milliseconds. <strong>Lists</strong> come in pages: hand <code>next</code> back as <code>cursor</code> until it is null.</p>
<p><strong>Nobody overwrites anybody.</strong> What can be changed has an <code>ETag</code>; send it as <code>If-Match</code>, and a change that is based on an older version is refused with 412. <strong>Try again safely</strong>: with an <code>Idempotency-Key</code>, a POST that was sent twice is done once.</p>
<p>Each answer carries <code>x-request-id</code> (yours, if you send one). It is in the controller's log, in the audit trail, in the directives it led to and in the sites' reports about them.</p>`

function errors(): string {
  const rows = Object.entries(errorCodes).map(([name, { status, title, retry }]) => `<tr><td><code>${name}</code></td><td>${status}</td><td>${escapeHtml(title)}</td><td>${retry ? 'yes' : 'no'}</td></tr>`)
  return `<h2 id="errors">Errors</h2><p>Every error is a <a href="#schema-Problem">problem</a> (<code>application/problem+json</code>, RFC 9457). Programs read <code>code</code>, <code>reason</code> and <code>retry</code>; people read <code>detail</code>. A bad request lists all its faults at once.</p>
<div class="scroll"><table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th><th>Trying again may help</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

function articleOf(route: Route, api: OpenApi): string {
  const { method, path, operation } = route
  const { parameters, requestBody } = operation
  const rows = parameters.map(({ name, in: place, required, schema, description }) => ({ name, required, schema, description: description ?? (place === 'path' ? 'in the path' : undefined) }))
  const answers = Object.entries(operation.responses).flatMap(([status, response]) => ('$ref' in response ? [] : [`<h4>${status}: ${escapeHtml(response.description)}</h4>${response.content === undefined ? '' : schemaBody(Object.values(response.content)[0]!.schema)}`]))
  return `<article id="${operation.operationId}"><h3>${escapeHtml(operation.summary)}</h3><p class="route"><span class="method ${method}">${method.toUpperCase()}</span>${escapeHtml(path)}</p><p class="access">${escapeHtml(operation.description)}</p>
${rows.length === 0 ? '' : `<h4>Parameters</h4>${tableOf(rows)}`}${requestBody === undefined ? '' : `<h4>Body</h4>${schemaBody(requestBody.content['application/json'].schema)}`}
<h4>Example</h4><pre><code>${escapeHtml(curlOf(route, api))}</code></pre>${answers.join('')}</article>`
}

/** A table for an object; for anything else its type in words. */
function schemaBody(schema: JsonSchema): string {
  return schema.properties === undefined ? `<p>${typeOf(schema)}</p>` : fieldTable(schema)
}

const samples: Record<string, string> = {
  site: 'rathaus-nord', release: 'shop@1.5.0', rollout: 'ro_01k8z3v9h2c4t6w8y0b2d4f6h8', token: 'tk_01k8z3v9h2c4t6w8y0b2d4f6h8', digest: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
}

function curlOf({ method, path, operation }: Route, api: OpenApi): string {
  const url = `${api.servers[0]?.url ?? ''}${path.replaceAll(/\{(\w+)\}/g, (_, name: string) => samples[name] ?? name)}`
  const [scheme] = operation.security.flatMap((requirement) => Object.keys(requirement))
  const lines = [`curl -sS${method === 'get' ? '' : ` -X ${method.toUpperCase()}`} '${url}'`]
  if (scheme === 'token') lines.push('-H "authorization: Bearer $MURMUR_TOKEN"')
  if (scheme === 'agent') lines.push('-H "authorization: Murmur-Agent site=…,incarnation=…,time=…,nonce=…,sig=…"')
  const body = operation.requestBody?.content['application/json'].example
  if (body !== undefined) lines.push("-H 'content-type: application/json'", `-d '${JSON.stringify(body, null, 2)}'`)
  return lines.join(' \\\n  ')
}
