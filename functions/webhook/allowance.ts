/** Requests to others, the database among them, that an invocation may still make. Whoever makes one counts it, before it is made. */
export type Allowance = { requests: number }
