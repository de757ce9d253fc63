import type { HttpRequest, HttpResponse } from './host.ts'

/** The innermost cause says what happened; `fetch failed` says nothing. */
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

async function* pieces(body: ReadableStream<Uint8Array>, idle: ReturnType<typeof deadline>, fail: (error: unknown) => Error): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  try {
    for (;;) {
      idle.arm('no further bytes')
      const { done, value } = await reader.read()
      idle.disarm()
      if (done) return
      yield value
    }
  } catch (error) {
    throw fail(error)
  } finally {
    idle.disarm()
    await reader.cancel().catch(() => undefined)
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/**
 * One request. `timeoutMs` bounds the wait for the response's head and then each wait for further bytes of its body.
 * A redirect is a failure: what was signed for one address is not sent to another. Bytes arrive as the server keeps
 * them (`identity`), so that ranges and lengths mean what they say.
 */
export async function nodeHttp(request: HttpRequest): Promise<HttpResponse> {
  const controller = new AbortController()
  const idle = deadline(controller, request.timeoutMs)
  const signal = request.signal === undefined ? controller.signal : AbortSignal.any([request.signal, controller.signal])
  const fail = (error: unknown): Error => new Error(`${request.method} ${address(request.url)}: ${explain(signal.aborted ? signal.reason : error)}`, { cause: error })
  idle.arm('no response')
  try {
    const response = await fetch(request.url, {
      method: request.method, headers: { 'accept-encoding': 'identity', ...request.headers }, body: request.body as Uint8Array<ArrayBuffer> | undefined, redirect: 'error', signal,
    })
    const head = { status: response.status, headers: Object.fromEntries(response.headers) }
    if (response.body === null) {
      idle.disarm()
      return { ...head, body: nothing() }
    }
    idle.arm('the body was not read')
    return { ...head, body: pieces(response.body, idle, fail) }
  } catch (error) {
    idle.disarm()
    throw fail(error)
  }
}
