/**
 * 32 bits of a text, as even as chance (FNV-1a, then a finish that lets every bit of the text reach every bit of the result). For what need not be
 * secret: where a delay falls, which messages have to do with each other. Two texts with one hash only wait for each other.
 */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
  return (hash ^ (hash >>> 15)) >>> 0
}
