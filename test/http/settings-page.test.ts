import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { settingsPage } from '../../infra/settings/main.ts'

test('docs/SETTINGS.md says what the programs read; `node infra/launch.mjs infra/settings/main.ts` writes it anew', async () => {
  expect(await readFile(join(import.meta.dirname, '../../docs/SETTINGS.md'), 'utf8')).toBe(settingsPage())
})
