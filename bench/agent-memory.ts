import { enrolledSite } from './agent-memory/enrolled-site.ts'
import { measureProcess, type Memory, type Subject } from './agent-memory/measure-process.ts'
import { figureOf, type Bench, type BenchOptions, type Figure } from './figure.ts'

/**
 * Memory of an idle agent.
 *
 * Workload: a real agent process, enrolled, connected to its broker, its hello answered, nothing to do. Once as it stands
 * in the repository under plain Node, once as a bundle with the options it is shipped with. Each repetition is a new process,
 * measured after it has settled.
 * Floor: a Node process of the same binary that only keeps its event loop alive.
 * Counted: PSS and RSS in megabytes (`/proc/<pid>/smaps_rollup`; Linux only). All of them run one at a time from a copy of the
 * Node binary that nobody else runs, so that its pages are shared with no other process, as at a site.
 */
export const agentMemory: Bench = { name: 'agent-memory', about: 'megabytes of an idle, connected agent, against a bare Node process', run }

const shippedOptions = ['--lite-mode', '--max-semi-space-size=1']

async function run({ quick, say }: BenchOptions): Promise<Figure[]> {
  const site = await enrolledSite()
  const agent = (...args: string[]): Subject => ({ node: site.node, args: [...args, 'run', '--state', site.stateDirectory], isReady: site.saidHello })
  const variants = [
    { name: 'plain Node', subject: agent(site.program) },
    { name: `bundle, ${shippedOptions.join(' ')}`, subject: agent(...shippedOptions, site.bundle) },
  ]
  const bare: Subject = { node: site.node, args: ['-e', 'setInterval(() => undefined, 1e6)'], isReady: async () => true }
  try {
    const floors: Memory[] = []
    const taken = variants.map((): Memory[] => [])
    await measureProcess(bare)
    for (let i = 0; i < (quick ? 3 : 5); i++) {
      floors.push(await measureProcess(bare))
      for (const [k, { subject }] of variants.entries()) taken[k]!.push(await measureProcess(subject))
    }
    const figures = variants.flatMap(({ name }, k) =>
      (['pss', 'rss'] as const).map((kind) => {
        const pairs = taken[k]!.map((memory, i) => ({ ours: memory[kind], floor: floors[i]![kind] }))
        return figureOf({ bench: agentMemory.name, name: `${name}, ${kind.toUpperCase()}`, unit: 'MB', aim: kind === 'pss' && k === 1 ? { atMost: 1.25 } : null }, pairs)
      }),
    )
    for (const { name, ours } of figures) say(`${name}: ${ours.median.toFixed(1)} MB`)
    return figures
  } finally {
    await site.close()
  }
}
