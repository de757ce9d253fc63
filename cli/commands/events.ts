import { operationContracts, type EventView } from '../../protocol/http/operations.ts'
import { limits } from '../../protocol/limits.ts'
import { printList, writeJson, type Shape } from '../output/print.ts'
import { plain, timeText } from '../output/words.ts'
import { wholeNumber } from '../read-options.ts'
import type { AddCommands } from '../session.ts'

const followMs = 2_000

const eventShape: Shape<EventView> = {
  nameOf: (event) => String(event.seq),
  none: 'no events',
  columns: [
    { title: 'SEQ', value: (event) => String(event.seq), align: 'right' },
    { title: 'AT', value: (event) => timeText(event.at) },
    { title: 'ACTOR', value: (event) => event.actor },
    { title: 'ACTION', value: (event) => event.action },
    { title: 'ENTITY', value: (event) => event.entity },
    { title: 'WHY', value: (event) => event.why },
    { title: 'SITE', value: (event) => event.site ?? '-', wide: true },
    { title: 'REQUEST', value: (event) => event.requestId, wide: true },
  ],
}

const eventLine = (event: EventView): string => plain(`${timeText(event.at)}  ${event.actor}  ${event.action}  ${event.entity}${event.site === null ? '' : ` (${event.site})`}  ${event.why}`).replaceAll('\n', ' ')

type Options = { after?: number; entity?: string; site?: string; limit?: number; follow?: boolean }

export const addEventsCommand: AddCommands = (program, act) => {
  program.command('events').description('the audit trail, oldest first: who did what to what, and why')
    .option('--after <seq>', 'only later ones', wholeNumber).option('--entity <entity>', 'such as rollout/ro_… or site/hill-17').option('--site <site>', 'about one site').option('--limit <count>', 'at most so many', wholeNumber).option('--follow', 'go on with those that come; one line each, in JSON with -o json')
    .action(act<Options>(async ({ io, format, client }, _, { after, entity, site, limit, follow }) => {
      const api = await client()
      const filter = { ...(entity === undefined ? {} : { entity }), ...(site === undefined ? {} : { site }) }
      const items: EventView[] = []
      for (let last = after ?? 0; ; ) {
        const page = await api.call(operationContracts.listEvents, { query: { ...filter, after: last, limit: Math.min(limits.pageSizeMax, (limit ?? Number.POSITIVE_INFINITY) - items.length) } })
        last = page.last ?? last
        items.push(...page.items)
        if (follow === true) io.out(items.splice(0).map((event) => (format === 'json' ? writeJson(event, 0) : `${eventLine(event)}\n`)).join(''))
        else if (page.items.length === 0 || items.length === limit) break
        if (follow === true && page.items.length === 0) await io.sleep(followMs)
      }
      printList({ io, format }, eventShape, items)
    }))
}
