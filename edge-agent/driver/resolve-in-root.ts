import type { Files } from '../host/host.ts'
import { onNode, type Node } from '../node/node.ts'
import { DriverError } from './contract.ts'

const linksFollowedMax = 40

/**
 * Where a node's path really is, as a path of the host: links on the way are followed as the node itself would follow
 * them, so that `/var/run -> /run` on a node leads to that node's `/run` and never out of its root. Parts that do not
 * exist yet are taken as they are. The last part is followed only with `followLast`.
 */
export async function resolveInRoot(files: Files, node: Node, path: string, followLast: boolean): Promise<string> {
  const pending = path.split('/').reverse()
  const resolved: string[] = []
  for (let linksFollowed = 0; pending.length > 0; ) {
    const part = pending.pop()!
    if (part === '' || part === '.') continue
    if (part === '..') {
      resolved.pop()
      continue
    }
    const here = onNode(node, `/${[...resolved, part].join('/')}`)
    const isLink = (pending.length > 0 || followLast) && (await files.facts(here))?.kind === 'link'
    if (!isLink) {
      resolved.push(part)
      continue
    }
    if (++linksFollowed > linksFollowedMax) throw new DriverError('link-loop', `too many links on the way to ${path}`)
    const target = await files.readlink(here)
    if (target.startsWith('/')) resolved.length = 0
    pending.push(...target.split('/').reverse())
  }
  return onNode(node, `/${resolved.join('/')}`)
}
