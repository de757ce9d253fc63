import { request as httpRequest, setGlobalProxyFromEnv } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'

/** Proxies as the environment names them. Names in `NO_PROXY`: a host, `.domain` or `*.domain`, each also with `:port`, or `*`. */
export type ProxySettings = { HTTPS_PROXY?: string | undefined; HTTP_PROXY?: string | undefined; NO_PROXY: string }
export const noProxy: ProxySettings = { NO_PROXY: '' }

export type Destination = { host: string; port: number; secure: boolean }

const tunnelMs = 30_000

/** Node's own HTTP goes through these proxies from now on. */
export function useProxy({ HTTPS_PROXY, HTTP_PROXY, NO_PROXY }: ProxySettings): void {
  if (HTTPS_PROXY !== undefined || HTTP_PROXY !== undefined) setGlobalProxyFromEnv({ ...(HTTPS_PROXY === undefined ? {} : { HTTPS_PROXY }), ...(HTTP_PROXY === undefined ? {} : { HTTP_PROXY }), NO_PROXY })
}

/** An address of IPv6 is written with brackets where a port follows it, and may have them anyway. */
const exceptionOf = (entry: string): { name: string; port: string | undefined } => {
  const [, bracketed, plain, port] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? []
  return { name: bracketed ?? plain ?? entry, port }
}

function isExcepted(exceptions: string, { host, port }: Destination): boolean {
  return exceptions.toLowerCase().split(/[\s,]+/).map(exceptionOf).some((exception) => {
    if (exception.name === '' || (exception.port !== undefined && Number(exception.port) !== port)) return false
    const domain = exception.name.replace(/^\*/, '')
    return domain === '' || (domain.startsWith('.') ? host.toLowerCase().endsWith(domain) : host.toLowerCase() === domain)
  })
}

/** The proxy on the way to a destination, or null where there is none. */
export function proxyFor(settings: ProxySettings, destination: Destination): URL | null {
  const proxy = destination.secure ? settings.HTTPS_PROXY : settings.HTTP_PROXY
  return proxy === undefined || isExcepted(settings.NO_PROXY, destination) ? null : new URL(proxy)
}

/** A connection to a destination through a proxy (CONNECT, RFC 9110 §9.3.6), which also looks up the name. Throws with what the proxy said. */
export function openTunnel(proxy: URL, { host, port }: Destination): Promise<Socket> {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  const headers = { host: authority, ...(user === ':' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` }) }
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`proxy ${proxy.host}: no way to ${authority}: ${why}`))
    const send = proxy.protocol === 'https:' ? httpsRequest : httpRequest
    const request = send({ host: proxy.hostname.replace(/^\[|\]$/g, ''), port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80), method: 'CONNECT', path: authority, headers, agent: false, timeout: tunnelMs })
    request.once('connect', (response, socket, head) => {
      if (Math.trunc((response.statusCode ?? 0) / 100) !== 2) {
        socket.destroy()
        return fail(`it answered ${response.statusCode} ${response.statusMessage ?? ''}`.trim())
      }
      if (head.length > 0) socket.unshift(head)
      socket.setTimeout(0)
      resolve(socket as Socket)
    })
    request.once('response', (response) => {
      response.resume()
      fail(`it answered ${response.statusCode} ${response.statusMessage ?? ''}`.trim())
    })
    request.once('timeout', () => request.destroy(new Error('it did not answer')))
    request.once('error', (error) => fail(error.message || (error as NodeJS.ErrnoException).code || error.name))
    request.end()
  })
}
