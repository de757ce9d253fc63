import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { alarmCatalogue, type AlarmEntry } from '../../protocol/alarms.ts'
import { limits } from '../../protocol/limits.ts'

const groups: Record<string, string> = {
  100: "A node's resources", 110: "A node's network and clock", 120: 'Services', 130: 'Certificates', 140: 'Kubernetes', 190: 'Monitoring itself', 200: 'A site as a whole', 300: 'Rollouts', 400: "The controller's links",
}
const gating = ({ gatesFrom }: AlarmEntry): string => (gatesFrom === null ? 'no' : gatesFrom === 'critical' ? 'when critical' : `from ${gatesFrom}`)

const entryText = (entry: AlarmEntry): string => `### ${entry.id} ${entry.name}

${entry.meaning}

| | |
|---|---|
| Severity | ${entry.severities.join(', ')} |
| Entity | \`${entry.entity}\` |
| Raised by | the ${entry.raisedBy} |
| Type, probable cause (X.733) | ${entry.type}, ${entry.probableCause} |
| Stops rollouts | ${gating(entry)} |
| Silent while somebody works there | ${entry.expectedInMaintenance ? 'yes' : 'no'} |
| Proposed repair | ${entry.repair} |
`

/** `docs/ALARMS.md`, made from the catalogue of the protocol. `node infra/launch.mjs infra/alarms/main.ts` writes it anew. */
export const alarmsPage = (): string => `# Alarms

An alarm is a fault condition that stands until it clears. It is known by three things: its site (\`_fleet\` for the fleet as a whole), its id and its entity, so
that the same fault said twice is one alarm. Ids are \`group.number\`, and an id is never given another meaning. One that is not on this page is kept all the same: it is shown
as uncatalogued, and stops rollouts when it is critical. This page is made from \`protocol/alarms.ts\` by \`node infra/launch.mjs infra/alarms/main.ts\`; a test compares the two.

## The life of an alarm

- **Raised** at once when its site says so, whatever comes late or twice: the site's enrolment and its sequence decide, not arrival. What follows every hello, and every block of metrics, also
  says all that stands, so that what was lost on the way is put right within a quarter of an hour.
- **Changed** when its severity moves. **Acknowledged** when somebody says to have seen it: it stops no rollout any more, until it gets worse or comes anew.
- **Shelved** for a while, with a reason: it is not listed, not announced and stops nothing. The shelf ends by itself, and what still stands is announced again.
- **Silenced** while a deployment is in flight at its site, or its node is locked, if it is of a kind that either brings about. What stays afterwards is announced then.
- **Suppressed** while its site is offline or suspect: kept, and hidden behind the alarm that says so. What other tools raised is not hidden.
- **Cleared** when the site, the controller or a person says so. The row of a cleared alarm is kept for ${limits.alarmClearedMs / 86_400_000} days, and what happened to alarms for ${limits.alarmHistoryMs / 86_400_000} days.
- One that is raised more than ${limits.alarmFlapsMax} times within ${limits.alarmFlapWindowMs / 60_000} minutes is **flapping**: it stands on, and only that it gets worse is written, until it has had that long to calm down.
- At most ${limits.alarmsPerSiteMax} alarms stand at a site, the worst first, and what a site raises after ${limits.alarmChangesPerSiteMax} changes within ${limits.alarmFlapWindowMs / 60_000} minutes is only counted. That there is more is an alarm itself (190.001).

Texts and entities come from sites and tools. The API gives them as they came; whatever prints them makes them inert. (\`-o json\` shows what a terminal would obey as \`\\u001b\`: there an
entity can be read exactly.)

## Dealing with them

\`\`\`sh
murmur summary                                           # sites by presence, alarms by severity
murmur alarm list --severity critical -l region=north    # --all: also what is acknowledged, shelved, silenced or suppressed
murmur alarm show    harbour 100.003 node=node-1.filesystem=/var     # what it means, and what to do
murmur alarm ack     harbour 100.003 node=node-1.filesystem=/var --note 'Jo is on it'
murmur alarm shelve  harbour 110.001 node=node-1.interface=eth2 --for 7d --reason 'the new switch comes on Friday'
murmur alarm history --site harbour --since 24h
murmur site lock harbour node-1 --reason 'new disks'     # silence while somebody works there; site unlock ends it
\`\`\`

An alarm is shelved for a minute to ${limits.shelfLifeMs / 86_400_000} days. A person or another tool (\`POST /v1/alarms\`, role operator) raises one with \`murmur alarm raise SITE ID ENTITY TEXT\` and ends it with \`alarm clear\`; an id of your own
is best from a group that is not on this page. [Webhooks](WEBHOOKS.md) tell other tools.

${Object.entries(groups).map(([group, title]) => `## ${title}\n\n${[...alarmCatalogue.values()].filter(({ id }) => id.startsWith(`${group}.`)).map(entryText).join('\n')}`).join('\n')}`

if (import.meta.main) await writeFile(join(import.meta.dirname, '../../docs/ALARMS.md'), alarmsPage())
