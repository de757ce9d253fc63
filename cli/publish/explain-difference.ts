import { canonicalJson } from '../../protocol/bytes.ts'
import type { Manifest } from '../../protocol/manifest.ts'

/** In which parts two manifests of one release id differ, in words. */
export function explainDifference(published: Manifest, own: Manifest): string[] {
  const { components: publishedComponents, createdAtMs: _publishedAt, ...publishedRest } = published
  const { components: ownComponents, createdAtMs: _ownAt, ...ownRest } = own
  const lines: string[] = []
  for (const key of new Set([...Object.keys(publishedRest), ...Object.keys(ownRest)]) as Set<keyof typeof ownRest>) {
    if (canonicalJson(publishedRest[key] ?? null) !== canonicalJson(ownRest[key] ?? null)) lines.push(`${key}: ${canonicalJson(publishedRest[key] ?? null)} is published, ${canonicalJson(ownRest[key] ?? null)} is here`)
  }
  const names = new Set([...publishedComponents, ...ownComponents].map((component) => component.name))
  for (const name of names) {
    const [there, here] = [publishedComponents, ownComponents].map((components) => components.find((component) => component.name === name))
    if (there === undefined || here === undefined) lines.push(`component ${name}: is only ${there === undefined ? 'here' : 'published'}`)
    else if (there.tree.digest !== here.tree.digest) lines.push(`component ${name}: other files`)
    else if (canonicalJson(there) !== canonicalJson(here)) lines.push(`component ${name}: other settings`)
  }
  return lines.length > 0 ? lines : ['the components are in another order']
}
