import { request as requestHttp, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { HttpRequest, HttpResponse } from './host.ts'

/** The innermost cause says what happened. */
function explain(error: unknown): string {
  let text = ''
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const code = (cause as NodeJS.ErrnoException).code
    text = cause.message !== '' ? cause.message : (code ?? text)
  }
  return text === '' ? String(error) : text
}

/** Without its query, which may carry a signature. */
const address = (url: string): string => url.split('?', 1)[0]!

/** Aborts `controller` unless it is disarmed within `spanMs`; each `arm` starts anew. */
function deadline(controller: AbortController, spanMs: number): { arm(what: string): void; disarm(): void } {
  let timer: NodeJS.Timeout | undefined
  return {
    arm(what) {
      clearTimeout(timer)
      timer = setTimeout(() => controller.abort(new Error(`${what} within ${spanMs} ms`)), spanMs)
    },
    disarm: () => clearTimeout(timer),
  }
}

async function* pieces(body: IncomingMessage, idle: ReturnType<typeof deadline>, fail: (error: unknown) => Error): AsyncGenerator<Uint8Array> {
  try {
    idle.arm('no further bytes')
    for await (const piece of body) {
      idle.disarm()
      yield piece as Uint8Array
      idle.arm('no further bytes')
    }
  } catch (error) {
    throw fail(error)
  } finally {
    idle.disarm()
    body.destroy()
  }
}

/** The head of the response; what comes after it is in the message. */
function send({ method, url, headers, body }: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const start = url.startsWith('https:') ? requestHttps : requestHttp
    const request = start(url, { method, headers: { 'accept-encoding': 'identity', ...headers }, signal })
    request.once('response', resolve)
    // Stays on: an error after the head is told to whoever reads the body, and without a listener it would end the process.
    request.on('error', reject)
    request.end(body)
  })
}

const headersOf = (response: IncomingMessage): Record<string, string> =>
  Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]))

/**
 * One request. `timeoutMs` bounds the wait for the response's head and then each wait for further bytes of its body.
 * A redirect is a failure: what was signed for one address is not sent to another. Bytes arrive as the server keeps
 * them (`identity`), so that ranges and lengths mean what they say. Node's own client and not `fetch`, which needs
 * WebAssembly: there is none with the options that an installed agent saves memory with.
 */
export async function nodeHttp(request: HttpRequest): Promise<HttpResponse> {
  const controller = new AbortController()
  const idle = deadline(controller, request.timeoutMs)
  const signal = request.signal === undefined ? controller.signal : AbortSignal.any([request.signal, controller.signal])
  const fail = (error: unknown): Error => new Error(`${request.method} ${address(request.url)}: ${explain(signal.aborted ? signal.reason : error)}`, { cause: error })
  idle.arm('no response')
  try {
    const response = await send(request, signal)
    const status = response.statusCode ?? 0
    if (status >= 300 && status < 400 && response.headers.location !== undefined) {
      response.destroy()
      throw new Error(`it was redirected (${status}), which is not followed`)
    }
    idle.arm('the body was not read')
    return { status, headers: headersOf(response), body: pieces(response, idle, fail) }
  } catch (error) {
    idle.disarm()
    throw fail(error)
  }
}
