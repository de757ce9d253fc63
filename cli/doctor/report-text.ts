import { plain } from '../output/words.ts'
import type { Examination } from './examine.ts'
import type { Finding } from './finding.ts'

const marks: Record<Finding['state'], string> = { 'ok': '✓', 'warning': '!', 'failing': '✗', 'not-checked': '–' }

/** One line for each link: what is, and where something is wrong how to mend it. */
export function reportText({ url, controller, findings }: Examination): string {
  const here = findings.filter(({ from }) => from === 'here')
  const own = findings.filter(({ from }) => from === 'controller')
  const wide = Math.max(...findings.map(({ link }) => link.length))
  const line = ({ link, state, detail, cure }: Finding): string => `  ${marks[state]} ${link.padEnd(wide)}  ${plain(detail)}${cure === null ? '' : ` → ${plain(cure)}`}\n`
  const wrong = findings.filter(({ state }) => state === 'failing').length
  const doubts = findings.filter(({ state }) => state === 'warning').length
  return [
    `From here to ${url}:\n`, ...here.map(line),
    ...(controller === null ? ['The controller\'s own links could not be checked.\n'] : [`From the controller (${controller.host}, version ${controller.version}):\n`, ...own.map(line)]),
    wrong + doubts === 0 ? 'Everything works.\n' : `${wrong} failing, ${doubts} doubtful.\n`,
  ].join('')
}
