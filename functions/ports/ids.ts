/** Names and chance. */
export interface Ids {
  /** 26 characters that sort by time and then by chance; unique. */
  sortable(nowMs: number): string
  /** `length` unguessable bytes. */
  secret(length: number): Uint8Array
}
