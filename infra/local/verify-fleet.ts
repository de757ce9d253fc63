import { access, readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { scanTree } from '../../artifact/scan-tree.ts'
import { listAll, type Client } from '../../cli/client.ts'
import { releaseContracts } from '../../protocol/http/releases.ts'
import { siteContracts } from '../../protocol/http/sites.ts'
import type { ReleaseId } from '../../protocol/ids.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import type { PracticeSite } from './plan-fleet.ts'
import { idOf, markerOf, type Scenario } from './scenario.ts'

/**
 * What is not as it should be after the scenario: every site on the second release, and one that holds the marker back
 * on the first. Both the controller is asked and every node's directories are read, since one of them could be wrong.
 */
export async function verifyFleet(client: Client, sites: readonly PracticeSite[], scenario: Scenario): Promise<string[]> {
  const [first, second] = [idOf(scenario.first), idOf(scenario.second)]
  const manifests = new Map<ReleaseId, Manifest>()
  for (const release of [first, second]) manifests.set(release, (await client.call(releaseContracts.getManifest, { params: { release } })).manifest)
  const views = new Map((await listAll((page) => client.call(siteContracts.listSites, { query: page }))).map((view) => [view.id as string, view]))
  const faults: string[] = []
  for (const site of sites) {
    const expected = (await isThere(markerOf(site, scenario))) ? first : second
    const running = views.get(site.id)?.running?.id ?? null
    if (running !== expected) faults.push(`${site.id}: the controller says that ${running ?? 'nothing'} runs there, not ${expected}`)
    for (const node of site.nodes) faults.push(...(await verifyNode(node, manifests.get(expected)!)).map((fault) => `${site.id}/${node.name}: ${fault}`))
  }
  return faults
}

/** Compares what lies on a node with what was signed: the trees byte by byte, and the files that health checks name. */
async function verifyNode(node: PracticeSite['nodes'][number], manifest: Manifest): Promise<string[]> {
  const faults: string[] = []
  for (const { name, version, config, tree, health, personalities } of manifest.components) {
    if (!(personalities ?? [node.personality]).some((personality) => personality === node.personality)) continue
    if (config.driver === 'files') {
      const digest = await realpath(join(node.root, config.target)).then(async (path) => (await scanTree(path)).ref.digest, () => null)
      if (digest !== tree.digest) faults.push(`${config.target} is ${digest === null ? 'not there' : `the tree ${digest.slice(0, 12)}…`}, not ${name} ${version}`)
    }
    for (const check of health) {
      if (check.type !== 'file' || check.contains === undefined) continue
      const text = await readFile(join(node.root, check.path), 'utf8').catch(() => '')
      if (!text.includes(check.contains)) faults.push(`${check.path} does not contain "${check.contains}", as ${name} ${version} should`)
    }
  }
  return faults
}

const isThere = (path: string): Promise<boolean> => access(path).then(() => true, () => false)
