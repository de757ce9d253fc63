/** Wall clock of the controller, in milliseconds since 1970. */
export interface Clock {
  nowMs(): number
}
