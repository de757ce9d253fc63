import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { alarmsPage } from '../../infra/alarms/main.ts'
import { alarmCatalogue } from '../../protocol/alarms.ts'

test('docs/ALARMS.md says what the catalogue says; `node infra/launch.mjs infra/alarms/main.ts` writes it anew', async () => {
  expect(await readFile(join(import.meta.dirname, '../../docs/ALARMS.md'), 'utf8')).toBe(alarmsPage())
})

test('every alarm of the catalogue stands on the page', () => {
  const page = alarmsPage()
  expect([...alarmCatalogue.values()].filter(({ id, name }) => !page.includes(`### ${id} ${name}\n`))).toEqual([])
})
