/** What is planned, by time and then by the order in which it was planned: a binary heap. */
export interface Queue<T> {
  push(atMs: number, item: T): void
  peekMs(): number | null
  pop(): { atMs: number; item: T }
}

type Entry<T> = { atMs: number; order: number; item: T }
const before = <T>(a: Entry<T>, b: Entry<T>): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

export function createQueue<T>(): Queue<T> {
  const heap: Entry<T>[] = []
  let order = 0
  const swap = (i: number, j: number): void => {
    const held = heap[i]!
    heap[i] = heap[j]!
    heap[j] = held
  }
  return {
    push(atMs, item) {
      heap.push({ atMs, order: order++, item })
      for (let i = heap.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1
        if (!before(heap[i]!, heap[parent]!)) break
        swap(i, parent)
        i = parent
      }
    },
    peekMs: () => heap[0]?.atMs ?? null,
    pop() {
      const first = heap[0]!
      const last = heap.pop()!
      if (heap.length > 0) heap[0] = last
      for (let i = 0; ; ) {
        const [left, right] = [2 * i + 1, 2 * i + 2]
        let least = i
        if (left < heap.length && before(heap[left]!, heap[least]!)) least = left
        if (right < heap.length && before(heap[right]!, heap[least]!)) least = right
        if (least === i) break
        swap(i, least)
        i = least
      }
      return { atMs: first.atMs, item: first.item }
    },
  }
}
