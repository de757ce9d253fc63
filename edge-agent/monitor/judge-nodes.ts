import { alarmIds } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'
import type { NodeSample } from '../host/sensors.ts'
import { bounded, entityOf } from './entity-of.ts'
import type { Looked, Reading, Untold } from './judge.ts'
import { findingReading, levelReading, rounded } from './judge-levels.ts'
import type { NodeUsage } from './measure-usage.ts'
import type { MonitorState } from './state.ts'
import type { Watch } from './watch.ts'

/** Interfaces that were once seen up, by node: these ought to be. */
export type SeenInterfaces = MonitorState['interfaces']

/** With those that are up now; the same object where nothing is new. */
export function seeInterfaces(before: SeenInterfaces, samples: readonly NodeSample[]): SeenInterfaces {
  let seen = before
  for (const { node, interfaces } of samples) {
    const known = seen[node] ?? []
    const fresh = interfaces.filter(({ name, up, hasDevice }) => up === true && hasDevice && name.length <= 64 && !known.includes(name)).map(({ name }) => name)
    if (fresh.length > 0 && known.length < limits.interfacesPerNodeMax) seen = { ...seen, [node]: [...known, ...fresh].slice(0, limits.interfacesPerNodeMax) }
  }
  return seen
}

function judgeFilesystems({ node, filesystems }: NodeUsage, unread: NodeSample['unread'], { filesystem }: Watch): (Reading | Untold)[] {
  const isWatched = ({ path }: { path: string }): boolean => !filesystem.ignore.includes(path)
  const about = (alarmId: string, path: string): { alarmId: string; entity: string } => ({ alarmId, entity: entityOf(`node=${node}.filesystem=${path}`) })
  const told = filesystems.filter(isWatched).flatMap(({ path, used, usedInodes }) => {
    const isFuller = usedInodes !== null && usedInodes > used
    const what = isFuller ? `${path} of ${node} has ${rounded(usedInodes)} % of its inodes in use` : `${path} of ${node} is ${rounded(used)} % full`
    const levels = { ...filesystem, ...filesystem.paths[path] }
    return [
      levelReading({ ...about(alarmIds.filesystem, path), what, unit: ' %' }, isFuller ? usedInodes : used, levels, filesystem),
      findingReading({ ...about(alarmIds.filesystemUnread, path), text: '' }, null, filesystem),
    ]
  })
  return [...told, ...unread.filter(isWatched).flatMap(({ path, why }): (Reading | Untold)[] => {
    const fullness: Untold = { ...about(alarmIds.filesystem, path), untold: true }
    const of = about(alarmIds.filesystemUnread, path)
    if (why === 'not-asked') return [fullness, { ...of, untold: true }]
    const text = bounded(`${path} of ${node} ${why === 'no-answer' ? 'does not answer: its disk hangs' : `cannot be read: ${why}`}`)
    return [fullness, findingReading({ ...of, text }, 'major', filesystem)]
  })]
}

/** One scope for each interface, since of each it may be unknown for itself. */
function judgeInterfaces({ node, interfaces }: NodeSample, { interfaces: watch }: Watch, seen: SeenInterfaces): [string, Reading[] | null][] {
  const names = watch.watch ?? seen[node] ?? []
  return names.filter((name) => !watch.ignore.includes(name)).map((name) => {
    const found = interfaces.find((each) => each.name === name)
    const isUnknown = interfaces.length === 0 || found?.up === null
    const of = { alarmId: alarmIds.interface, entity: entityOf(`node=${node}.interface=${name}`), text: `${name} of ${node} ${found === undefined ? 'is not there any more' : 'has no link'}` }
    const reading = findingReading(of, found?.up === true ? null : watch.severity, { ...watch, outOf: watch.raiseAfter })
    return [`nodes interface ${node} ${name}`, isUnknown ? null : [reading]]
  })
}

/** What the samples of all nodes say against the levels that are watched. Pure. */
export function judgeNodes(samples: readonly NodeSample[], usages: readonly NodeUsage[], watch: Watch, seen: SeenInterfaces): Looked {
  const share = (alarmId: string, node: string, what: string, value: number | null, levels: Watch['cpu']): Reading[] | null =>
    value === null ? null : [levelReading({ alarmId, entity: `node=${node}`, what: what.replace('#', rounded(value)), unit: ' %' }, value, levels, levels)]
  const looked = new Map<string, (Reading | Untold)[] | null>()
  const unreadOf = new Map<string, NodeSample['unread']>(samples.map(({ node, unread }) => [node, unread]))
  for (const usage of usages) {
    const { node } = usage
    looked.set(`nodes cpu ${node}`, share(alarmIds.cpu, node, `the processors of ${node} are # % busy`, usage.cpu, watch.cpu))
    looked.set(`nodes memory ${node}`, share(alarmIds.memory, node, `memory of ${node} is # % in use`, usage.memory, watch.memory))
    const filesystems = judgeFilesystems(usage, unreadOf.get(node) ?? [], watch)
    looked.set(`nodes filesystem ${node}`, filesystems.length === 0 ? null : filesystems)
  }
  for (const sample of samples) for (const [scope, readings] of judgeInterfaces(sample, watch, seen)) looked.set(scope, readings)
  return looked
}
