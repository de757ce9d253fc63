import { alarmIds } from '../../protocol/alarms.ts'
import type { Result } from '../../protocol/result.ts'
import type { Severity } from '../../protocol/states.ts'
import type { CertificateFacts, DiskFinding, FailedUnit, KubernetesFacts } from '../host/sensors.ts'
import { bounded, entityOf } from './entity-of.ts'
import type { Debounce, Looked, Reading } from './judge.ts'
import { findingReading, levelReading, rounded, severityAt } from './judge-levels.ts'
import type { Watch } from './watch.ts'

const dayMs = 86_400_000
/** For what is no sample but a fact. */
const atOnce: Debounce = { raiseAfter: 1, outOf: 1, clearAfter: 1 }
/** More of one kind than anybody reads one by one. */
const findingsMax = 1000

export function judgeUnits(node: string, found: Result<FailedUnit[], string>, { units }: Watch): Looked {
  if (!found.ok) return new Map([['units', null]])
  const failed = found.value.filter(({ name }) => !units.ignore.includes(name)).slice(0, findingsMax)
  return new Map([['units', failed.map(({ name, description }) =>
    findingReading({ alarmId: alarmIds.unit, entity: entityOf(`node=${node}.unit=${name}`), text: bounded(`${name} of ${node} has failed${description === '' ? '' : `: ${description}`}`) }, units.severity, atOnce))]])
}

const diskSeverities: Record<DiskFinding['wrong'], Severity> = { failed: 'critical', 'read-only': 'critical', errors: 'major', degraded: 'major', 'worn-out': 'major', worn: 'warning' }

/** The worst of each disk. */
export function judgeDisks(node: string, findings: readonly DiskFinding[], { disks }: Watch): Looked {
  return new Map([['disks', findings.filter(({ device }) => !disks.ignore.includes(device)).slice(0, findingsMax).map(({ device, wrong, detail }) =>
    findingReading({ alarmId: alarmIds.disk, entity: entityOf(`node=${node}.disk=${device}`), text: bounded(`${device} of ${node}: ${wrong}${detail === '' ? '' : `, ${detail}`}`) }, diskSeverities[wrong], atOnce))]])
}

/** `offset` of the servers, or null where there are none to ask: then `synchronised` is what the host says, null where it says nothing. */
export function judgeClock(node: string, offset: Result<number, string> | null, synchronised: boolean | null, { clock }: Watch): Looked {
  const of = { alarmId: alarmIds.clock, entity: `node=${node}.clock` }
  if (offset?.ok === true) {
    const what = `the clock of ${node} is ${rounded(Math.abs(offset.value))} ms ${offset.value >= 0 ? 'behind' : 'ahead'}`
    return new Map([['clock', [levelReading({ ...of, what, unit: ' ms' }, Math.abs(offset.value), clock, clock)]]])
  }
  // how far it is off is not known: that is as bad as the least there is a level for
  const severity = (['minor', 'major', 'critical'] as const).find((each) => clock[each] !== null) ?? null
  if (offset === null && synchronised === null) return new Map([['clock', null]])
  const text = offset === null ? `nothing keeps the clock of ${node} right` : `no time source answers ${node}: ${offset.refusal}`
  return new Map([['clock', [findingReading({ ...of, text: bounded(text) }, offset === null && synchronised === true ? null : severity, clock)]]])
}

export type DirectoryFound = { node: string; path: string; budgetBytes: number; found: Result<{ sizeBytes: number; complete: boolean }, string> }

export function judgeDirectories(directories: readonly DirectoryFound[], { directory }: Watch): Looked {
  return new Map(directories.map(({ node, path, budgetBytes, found }): [string, Reading[] | null] => {
    const scope = `directories ${node} ${path}`
    if (!found.ok) return [scope, null]
    const used = (100 * found.value.sizeBytes) / budgetBytes
    const what = `${path} of ${node} holds ${found.value.complete ? '' : 'at least '}${rounded(used)} % of its ${budgetBytes} bytes`
    const reading = levelReading({ alarmId: alarmIds.directory, entity: entityOf(`node=${node}.directory=${path}`), what, unit: ' %' }, used, directory, directory)
    // where not all was counted, what was can only tell that it is too much
    return [scope, found.value.complete || reading.beyond !== null ? [reading] : null]
  }))
}

/** `renewAtMs` of one that the agent renews by itself: before, it is as it should be. */
export type CertificateFound = { name: string; found: Result<CertificateFacts, string>; renewAtMs: number | null }

export function judgeCertificates(certificates: readonly CertificateFound[], nowMs: number, { certificates: levels }: Watch): Looked {
  return new Map(certificates.map(({ name, found, renewAtMs }): [string, Reading[]] => {
    const of = { alarmId: alarmIds.certificate, entity: entityOf(`certificate=${name}`) }
    const scope = `certificates ${name}`
    if (!found.ok) return [scope, [findingReading({ ...of, text: bounded(`${name} cannot be read: ${found.refusal}`) }, 'major', atOnce)]]
    const days = (found.value.expiresAtMs - nowMs) / dayMs
    const isDue = renewAtMs === null || nowMs > renewAtMs + dayMs
    const text = `${name} (${found.value.subject}) ${days < 0 ? `expired ${rounded(-days)} days ago` : `expires in ${rounded(days)} days`}`
    const negated = Object.fromEntries((['minor', 'major', 'critical'] as const).map((each) => [each, levels[each] === null ? null : -levels[each]]))
    return [scope, [findingReading({ ...of, text: bounded(text) }, isDue ? severityAt(negated, -days) : null, atOnce)]]
  }))
}

export function judgeKubernetes(found: Result<KubernetesFacts, string> | null, { kubernetes }: Watch): Looked {
  const debounce: Debounce = { ...kubernetes, outOf: kubernetes.raiseAfter }
  if (found === null) return new Map()
  const api = (text: string, severity: Severity | null): Reading[] => [findingReading({ alarmId: alarmIds.kubernetes, entity: 'kubernetes', text: bounded(text) }, severity, debounce)]
  if (!found.ok) return new Map([['kubernetes api', api(`Kubernetes does not answer: ${found.refusal}`, 'critical')], ['kubernetes nodes', null], ['kubernetes pods', null]])
  const { nodes, pods } = found.value
  const unready = nodes.filter(({ ready }) => !ready)
  // with half of them gone it is the cluster that is in danger, not a node
  const severity: Severity = 2 * unready.length >= nodes.length ? 'critical' : 'major'
  return new Map([
    ['kubernetes api', api('Kubernetes does not answer', null)],
    ['kubernetes nodes', nodes.slice(0, findingsMax).map(({ name, ready, reason }) =>
      findingReading({ alarmId: alarmIds.kubernetesNode, entity: entityOf(`node=${name}`), text: bounded(`${name} is not ready${reason === '' ? '' : `: ${reason}`}`) }, ready ? null : severity, debounce))],
    ['kubernetes pods', pods.filter(({ ready }) => !ready).slice(0, findingsMax).map(({ namespace, name, phase, reason }) =>
      findingReading({ alarmId: alarmIds.systemPod, entity: entityOf(`pod=${namespace}/${name}`), text: bounded(`${namespace}/${name} is ${phase}, not ready${reason === '' ? '' : `: ${reason}`}`) }, 'major', debounce))],
  ])
}

/** A declared check that passed (null), or what was wrong. */
export const judgeCheck = (name: string, finding: string | null, severity: Severity, debounce: Pick<Debounce, 'raiseAfter' | 'clearAfter'>): Looked =>
  new Map([[`check:${name}`, [findingReading({ alarmId: alarmIds.check, entity: entityOf(`check=${name}`), text: bounded(`${name}: ${finding ?? 'passed'}`) }, finding === null ? null : severity, { ...debounce, outOf: debounce.raiseAfter })]]])

/**
 * What is wrong with one component on one node; null: it is healthy, and its driver sees in effect what was installed. `tree` where its files
 * were looked at: what is wrong with them, null for nothing, undefined for not known yet.
 */
export type ComponentFound = { node: string; component: string; finding: { text: string; severity: Severity } | null; tree?: { digest: string; wrong: string | null | undefined } }

/** The digest is part of a tree's scope: of one that is not installed any more, nothing stands. */
export const judgeComponents = (all: readonly ComponentFound[], { components }: Watch): Looked =>
  new Map(all.flatMap(({ node, component, finding, tree }): [string, Reading[] | null][] => {
    const entity = `node=${node}.component=${component}`
    const reading = (of: string, text: string, severity: Severity | null): Reading[] =>
      [findingReading({ alarmId: alarmIds.component, entity: entityOf(of), text: bounded(`${component} of ${node}: ${text}`) }, severity, { ...components, outOf: components.raiseAfter })]
    const own: [string, Reading[]] = [`components ${node} ${component}`, reading(entity, finding?.text ?? 'healthy', finding?.severity ?? null)]
    if (tree === undefined) return [own]
    return [own, [`components ${node} ${component} ${tree.digest}`, tree.wrong === undefined ? null : reading(`${entity}.files`, tree.wrong ?? 'as installed', tree.wrong === null ? null : 'major')]]
  }))
