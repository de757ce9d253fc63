import { fromUtf8, wellFormedJson } from '../../protocol/bytes.ts'

const depthMax = 64
// a string, or one of the marks that open, close and part; everything between them is JSON.parse's business
const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g

/**
 * JSON bytes as a value. Throws SyntaxError also for what JSON.parse lets pass and two readers may take differently
 * (F19): bytes that are not UTF-8, half a surrogate pair, a key that stands twice in one object, and nesting deeper than 64.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch {
    throw new SyntaxError('it is not UTF-8')
  }
  const value: unknown = JSON.parse(text)
  if (wellFormedJson(text) !== text) throw new SyntaxError('it has half a surrogate pair, which is no character')
  checkStructure(text)
  return value
}

/** `text` is known to be JSON. Each open object is a set of its keys so far, each open array is null. */
function checkStructure(text: string): void {
  const open: (Set<string> | null)[] = []
  let previous = ''
  for (const [mark] of text.matchAll(token)) {
    if (mark === '{' || mark === '[') open.push(mark === '{' ? new Set() : null)
    else if (mark === '}' || mark === ']') open.pop()
    else if (mark === ':') addKey(open.at(-1), previous)
    if (open.length > depthMax) throw new SyntaxError(`it is nested deeper than ${depthMax}`)
    previous = mark
  }
}

function addKey(keys: Set<string> | null | undefined, quoted: string): void {
  const key = JSON.parse(quoted) as string
  if (keys?.has(key)) throw new SyntaxError(`the key ${JSON.stringify(key.slice(0, 100))} stands twice in one object`)
  keys?.add(key)
}
