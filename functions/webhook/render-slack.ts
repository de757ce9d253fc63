import { describeEvent, type Description } from './describe-event.ts'
import { cut } from './inert.ts'
import type { Addressee, Message } from './render.ts'

const headerMax = 150
const sectionMax = 3000
const notificationMax = 3000

/** Slack's message: a line for notifications, and blocks of plain text, in which nothing links, mentions or formats. */
export function renderSlack(to: Addressee, message: Message): string {
  const descriptions = message.events.map((event) => describeEvent(event, to.fleet))
  const title = descriptions.length === 1 ? descriptions[0]!.title : `${descriptions.length} events in ${to.fleet}`
  return JSON.stringify({
    text: escape(descriptions.length === 1 ? `${title}: ${descriptions[0]!.text}` : title, notificationMax),
    unfurl_links: false, unfurl_media: false,
    blocks: [
      { type: 'header', text: plain(title, headerMax) },
      ...descriptions.map((each) => ({ type: 'section', text: plain(linesOf(each, descriptions.length > 1).join('\n'), sectionMax) })),
    ],
  })
}

const linesOf = ({ title, text, facts }: Description, withTitle: boolean): string[] =>
  [...(withTitle ? [title] : []), text, ...facts.map(([name, value]) => `${name}: ${value}`)].filter((line) => line !== '')

const plain = (text: string, max: number): { type: 'plain_text'; emoji: false; text: string } => ({ type: 'plain_text', emoji: false, text: escape(text, max) })

/** Slack's three control characters as entities, and nobody called by a name that calls everybody. Cut without a broken entity. */
function escape(text: string, max: number): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replace(/@(?=channel|here|everyone|group)/gi, '@\u200b')
  return escaped.length <= max ? escaped : cut(escaped, max).replace(/&[a-z]*…$/, '…')
}
