import { createServer } from 'node:http'
import { listen } from './listen.ts'

/** DNS over HTTPS in JSON, as public resolvers answer it; says no to names it does not know, and nothing sensible to `broken.…`, `servfail.…` and, where IPv6 is asked for, `half.…`. */
export async function startResolver(names: Record<string, readonly string[]>, ends: (() => unknown)[]) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url!, 'http://x')
    const [name, type] = [searchParams.get('name')!, Number(searchParams.get('type'))]
    asked.push(`${name} ${type} ${request.headers.accept}`)
    if (name.startsWith('broken.')) return void response.writeHead(500).end()
    if (name.startsWith('servfail.')) return void response.end(JSON.stringify({ Status: 2 }))
    if (name.startsWith('half.') && type === 28) return void response.end('{"Status":')
    const addresses = (names[name] ?? []).filter((address) => address.includes(':') === (type === 28))
    const alias = { name, type: 5, TTL: 60, data: 'alias.example.com.' }
    response.end(JSON.stringify(names[name] === undefined ? { Status: 3 } : { Status: 0, TC: false, Answer: [alias, ...addresses.map((data) => ({ name: 'alias.example.com', type, TTL: 60, data }))] }))
  })
  return { url: `http://127.0.0.1:${await listen(server, ends)}/dns-query`, asked }
}
