/** The little XML that S3 speaks: elements without attributes that matter, text without markup. */

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

const unescapeXml = (text: string): string =>
  text.replaceAll(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));/g, (_, decimal?: string, hex?: string, name?: string) =>
    name !== undefined ? entities[name]! : String.fromCodePoint(decimal !== undefined ? Number(decimal) : Number.parseInt(hex!, 16)))

/** The insides of every element of this name, in their order. */
export const elementsOf = (xml: string, name: string): string[] => [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}>`, 'g'))].map(([, inside = '']) => inside)

/** The text of the first element of this name, or null. */
export function textOf(xml: string, name: string): string | null {
  const [inside] = elementsOf(xml, name)
  return inside === undefined ? null : unescapeXml(inside.trim())
}

export const escapeXml = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => `&#${character.codePointAt(0)!};`)
