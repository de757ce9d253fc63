/** What happens at which moment, earliest first; equal moments in the order they were put in. A binary heap. */
export class EventQueue<T> {
  private readonly heap: { atMs: number; order: number; event: T }[] = []
  private count = 0

  put(atMs: number, event: T): void {
    this.heap.push({ atMs, order: this.count++, event })
    for (let i = this.heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1
      if (!this.isBefore(i, parent)) break
      this.swap(i, parent)
      i = parent
    }
  }

  /** Null when nothing is left. */
  take(): { atMs: number; event: T } | null {
    const first = this.heap[0]
    const last = this.heap.pop()
    if (first === undefined || last === undefined) return null
    if (this.heap.length === 0) return first
    this.heap[0] = last
    for (let i = 0; ; ) {
      const [left, right] = [2 * i + 1, 2 * i + 2]
      let least = i
      if (left < this.heap.length && this.isBefore(left, least)) least = left
      if (right < this.heap.length && this.isBefore(right, least)) least = right
      if (least === i) return first
      this.swap(i, least)
      i = least
    }
  }

  private isBefore(a: number, b: number): boolean {
    const [x, y] = [this.heap[a]!, this.heap[b]!]
    return x.atMs < y.atMs || (x.atMs === y.atMs && x.order < y.order)
  }

  private swap(a: number, b: number): void {
    const kept = this.heap[a]!
    this.heap[a] = this.heap[b]!
    this.heap[b] = kept
  }
}
