import * as z from 'zod'

/** Every way a verb of the controller can fail, with its HTTP status and whether trying again unchanged may help. */
export const errorCodes = {
  'bad-request': { status: 400, retry: false, title: 'The request is not valid' },
  'unauthenticated': { status: 401, retry: false, title: 'No valid credentials' },
  'forbidden': { status: 403, retry: false, title: 'Not allowed with these credentials' },
  'not-found': { status: 404, retry: false, title: 'There is no such thing' },
  'conflict': { status: 409, retry: false, title: 'It does not fit the present state' },
  'precondition-failed': { status: 412, retry: false, title: 'It was changed in the meantime' },
  'too-large': { status: 413, retry: false, title: 'The body is over its limit' },
  'unprocessable': { status: 422, retry: false, title: 'It was understood, and refused' },
  'too-many': { status: 429, retry: true, title: 'Too many requests' },
  'internal': { status: 500, retry: true, title: 'Something is wrong on this side' },
  'unavailable': { status: 503, retry: true, title: 'A part this depends on does not answer' },
} as const
export type ErrorCode = keyof typeof errorCodes

/** RFC 9457 problem details, with a stable `code` for programs, and every fault of a bad request at once. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
  detail: z.string(),
  /** Names the refusal inside a code, such as `downgrade` or `unknown-key`. */
  reason: z.string().optional(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  retry: z.boolean(),
  requestId: z.string(),
})
export type Problem = z.infer<typeof Problem>

/** A verb that could not do its work, with all a caller needs to act on it. Mapped to HTTP in one place. */
export class FleetError extends Error {
  readonly code: ErrorCode
  readonly reason: string | undefined
  readonly errors: { path: string; message: string }[] | undefined

  constructor(code: ErrorCode, detail: string, more: { reason?: string; errors?: { path: string; message: string }[]; cause?: unknown } = {}) {
    super(detail, { cause: more.cause })
    this.name = 'FleetError'
    this.code = code
    this.reason = more.reason
    this.errors = more.errors
  }

  get retry(): boolean {
    return errorCodes[this.code].retry
  }
}

/** zod's issues as the `errors` of a problem. */
export const issuesOf = (error: z.ZodError): { path: string; message: string }[] =>
  error.issues.slice(0, 50).map((issue) => ({ path: issue.path.join('.') || '(body)', message: issue.message }))

/** A value of `schema`, or a `bad-request` that lists everything that is wrong with it. */
export function parseOrThrow<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const errors = issuesOf(parsed.error)
  throw new FleetError('bad-request', `${what} is not valid: ${errors.map((e) => `${e.path}: ${e.message}`).join('; ')}`, { errors })
}
