import type { DeploymentView, RolloutView } from '../../protocol/http/rollouts.ts'
import type { Shape } from '../output/print.ts'
import { agoText, timeText } from '../output/words.ts'
import { selectorText } from '../select-sites.ts'
import { countsText, targetText } from '../watch/render.ts'

export const rolloutShape = (nowMs: number): Shape<RolloutView> => ({
  nameOf: (rollout) => rollout.id,
  none: 'no rollouts',
  columns: [
    { title: 'ROLLOUT', value: (rollout) => rollout.id },
    { title: 'NAME', value: (rollout) => rollout.name },
    { title: 'TARGET', value: (rollout) => targetText(rollout.target) },
    { title: 'STATE', value: (rollout) => (rollout.pauses.length > 0 ? `${rollout.state}, paused` : rollout.state) },
    { title: 'SITES', value: (rollout) => countsText(rollout.counts) },
    { title: 'AGE', value: (rollout) => agoText(rollout.createdAt, nowMs) },
    { title: 'SELECTOR', value: (rollout) => selectorText(rollout.selector), wide: true },
    { title: 'BY', value: (rollout) => rollout.createdBy, wide: true },
    { title: 'ENDED', value: (rollout) => timeText(rollout.endedAt), wide: true },
  ],
})

export const deploymentShape = (nowMs: number): Shape<DeploymentView> => ({
  nameOf: (deployment) => deployment.site,
  none: 'no sites',
  columns: [
    { title: 'SITE', value: (deployment) => deployment.site },
    { title: 'WAVE', value: (deployment) => deployment.wave ?? '-' },
    { title: 'STATE', value: (deployment) => deployment.state },
    { title: 'PHASE', value: (deployment) => deployment.phase ?? '-' },
    { title: 'ATTEMPT', value: (deployment) => String(deployment.attempt), align: 'right' },
    { title: 'SINCE', value: (deployment) => agoText(deployment.updatedAt, nowMs), align: 'right' },
    { title: 'WHY', value: (deployment) => deployment.fault?.detail ?? deployment.why },
    { title: 'FROM', value: (deployment) => deployment.from?.id ?? '-', wide: true },
    { title: 'TO', value: (deployment) => deployment.to?.id ?? '-', wide: true },
    { title: 'DEADLINE', value: (deployment) => timeText(deployment.deadlineAt), wide: true },
  ],
})
