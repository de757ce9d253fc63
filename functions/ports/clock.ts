/** Wall clock of the controller, in milliseconds since 1970. */
export interface Clock {
  nowMs(): number
  /** Resolves after `spanMs`. Absent where time does not pass by itself: what would wait is left to the next run. */
  pause?(spanMs: number): Promise<void>
}
