import { describeEvent, type Description } from './describe-event.ts'
import { cut } from './inert.ts'
import type { Addressee, Message } from './render.ts'

/** Characters of all events together: at three bytes each and with what is around them they stay under Teams' 28 KB. */
const charactersMax = 5_000

/** A message with one Adaptive Card, as Teams' workflows take it from a webhook. All text is in runs, which know no Markdown. */
export function renderTeams(to: Addressee, message: Message): string {
  const descriptions = message.events.map((event) => describeEvent(event, to.fleet))
  const share = Math.floor(charactersMax / descriptions.length)
  const heading = descriptions.length === 1 ? [] : [block([run(`${descriptions.length} events in ${to.fleet}`, 'Bolder')])]
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json', type: 'AdaptiveCard', version: '1.4', msteams: { width: 'Full' },
    body: [...heading, ...descriptions.flatMap((each) => blocksOf(each, share))],
  }
  return JSON.stringify({ type: 'message', attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content }] })
}

type Run = { type: 'TextRun'; text: string; weight: 'Default' | 'Bolder' }
type Block = { type: 'RichTextBlock'; inlines: Run[] }

// twice an opening brace would be one of the card's own functions
const run = (text: string, weight: Run['weight'] = 'Default'): Run => ({ type: 'TextRun', text: text.replaceAll('{{', '{ {'), weight })
const block = (inlines: Run[]): Block => ({ type: 'RichTextBlock', inlines })

/** Half of its share is for the title and the text, the other half for the facts. */
function blocksOf({ title, text, facts }: Description, share: number): Block[] {
  const factMax = Math.floor(share / 2 / Math.max(1, facts.length))
  return [
    block([run(cut(title, Math.floor(share / 6)), 'Bolder')]),
    ...(text === '' ? [] : [block([run(cut(text, Math.floor(share / 3)))])]),
    ...facts.map(([name, value]) => block([run(`${name}: `, 'Bolder'), run(cut(value, factMax))])),
  ]
}
