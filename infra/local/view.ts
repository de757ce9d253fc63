import { relative } from 'node:path'
import type { Io } from '../../cli/io.ts'
import { plain } from '../../cli/output/words.ts'
import { countsText, targetText } from '../../cli/watch/render.ts'
import type { PracticeController } from './controller.ts'
import type { StartOptions } from './options.ts'
import type { PracticeSite } from './plan-fleet.ts'
import type { FaultTelling } from './play-fault.ts'
import { markerOf, type Played, type Scenario, type Telling } from './scenario.ts'
import type { ReceivedWebhook } from './webhook-receiver.ts'

type Printer = Pick<Io, 'out' | 'terminal'>

/** What is said on the way; drawn over in place on a terminal where it counts something. */
export function createView(io: Printer) {
  const line = (text = ''): void => io.out(`${text}\n`)
  return {
    line,
    controllerStarted({ url, logPath, keys }: PracticeController): void {
      line(`Controller  ${url}  (API at ${url}/docs, log in ${shortPath(logPath)})`)
      if (keys.isNew) {
        line(`Root key    ${shortPath(keys.rootKeyPath)}, made now, fingerprint ${keys.rootFingerprint}`)
        line('            In practice it lies beside everything else. In earnest it belongs offline: whoever has it decides what runs.')
      }
    },
    agents(done: number, total: number): void {
      const text = `Fleet       ${done} of ${total} agents started`
      if (io.terminal() !== null) io.out(`\r${text}${done === total ? '\n' : ''}`)
      else if (done === total) line(text)
    },
    telling(): Telling {
      return {
        publishing: (release) => line(`\nPublishing ${release}: hashed, signed with the publisher's key, uploaded, confirmed …`),
        published: (release) => line(`${release} is available.`),
        rollout: (view, isNew) => line(`${isNew ? 'Rollout' : 'Rollout of an earlier start:'} ${view.id}, all sites to ${targetText(view.target)}`),
        ended: (view) => line(`It is ${view.state}: ${countsText(view.counts)}`),
      }
    },
    webhook({ type, subject, data }: ReceivedWebhook): void {
      const [what, said] = typeof data['alarmId'] === 'string' ? [`${data['site'] ?? 'fleet'} ${data['alarmId']} ${data['name'] ?? ''}`, data['change'] === 'cleared' ? '' : `: ${String(data['text'])}`] : [subject, '']
      line(`  webhook   ${plain(`${type.replace(/^murmuration\./, '')}  ${what}${said}`).replaceAll('\n', ' ')}  (rightly signed)`)
    },
    fault(): FaultTelling {
      return {
        filled: (site, path) => line(`  fault     the spool of ${site} is filling up: ${shortPath(path)}`),
        stopped: (rollout, alarm) => {
          for (const { reason, detail } of rollout.pauses) line(`The rollout has stopped by itself (${reason}): ${plain(detail)}`)
          if (alarm?.catalogue != null) line(`  ${alarm.alarmId} ${alarm.catalogue.name}: ${alarm.catalogue.repair}`)
        },
        freed: (path) => line(`  mended    ${shortPath(path)} is gone; the alarm clears with the next samples`),
        resumed: () => line('The alarm has cleared, and the rollout goes on.'),
      }
    },
    verified(faults: readonly string[], sites: number): void {
      line()
      if (faults.length === 0) line(`Checked: the controller's word and the directories of every node agree, at all ${sites} sites.`)
      for (const fault of faults) line(`NOT AS IT SHOULD BE  ${fault}`)
    },
    next(options: StartOptions, controller: PracticeController, offlineDirectory: string, practice: { sites: readonly PracticeSite[]; refusing: PracticeSite | null; scenario: Scenario; played: Played } | null): void {
      const reach = options.data.endsWith('/.murmur') && relative(process.cwd(), options.data) === '.murmur' ? '' : `MURMUR_URL=${controller.url} MURMUR_TOKEN=$(cat ${shortPath(options.data)}/admin-token) `
      const steps: [string, string][] = [['what the API can do, to try in a browser', `${controller.url}/docs`], ['all sites', `${reach}npx murmur site list`]]
      if (practice !== null) steps.push(...practiceSteps(practice, reach, offlineDirectory))
      steps.push(['who did what, and why', `${reach}npx murmur events`])
      line('\nWhat to try next, in another terminal:\n')
      for (const [what, command] of steps) line(`  # ${what}\n  ${command}`)
      line('\nCtrl-C stops everything; npm start goes on from here, npm start -- --fresh begins anew.')
    },
  }
}

function practiceSteps({ sites, refusing, scenario, played }: { sites: readonly PracticeSite[]; refusing: PracticeSite | null; scenario: Scenario; played: Played }, reach: string, offlineDirectory: string): [string, string][] {
  const some = sites.at(-1)!.id
  return [
    ...(refusing === null
      ? []
      : ([
          ['why one site is not where the others are', `${reach}npx murmur site explain ${refusing.id}`],
          ['its way through the rollout, with the check that failed', `${reach}npx murmur rollout sites ${played.second.id} --state rolled-back`],
          ['take away what made it fail, and give it another attempt', `rm ${shortPath(markerOf(refusing, scenario))} && ${reach}npx murmur rollout retry ${played.second.id}`],
        ] satisfies [string, string][])),
    ['the waves of the rollout', `${reach}npx murmur rollout show ${played.second.id}`],
    ['take every site back to what it ran before', `${reach}npx murmur rollout rollback ${played.second.id} --wait`],
    ['what is wrong anywhere, and what has been', `${reach}npx murmur alarm list; ${reach}npx murmur alarm history`],
    ['how full a site is', `${reach}npx murmur usage ${some}`],
    ['stop the agent of a site, and let it come back later', `touch ${shortPath(offlineDirectory)}/${some}; sleep 5; rm ${shortPath(offlineDirectory)}/${some}`],
  ]
}

/** A path as short as it can be typed from here. */
function shortPath(path: string): string {
  const short = relative(process.cwd(), path)
  return short.startsWith('..') ? path : short
}
