import { expect, test } from 'vitest'
import { alarmChanges, eventTypes } from '../../protocol/events.ts'
import { outcomes } from '../../protocol/states.ts'
import { allFiles, productFiles, textOf } from './sources.ts'

/** What verbs write to the audit trail: by name, or, of attempts, by their outcome. */
const audited = new Set([
  ...productFiles.filter((path) => path.startsWith('functions/')).flatMap((path) => [...textOf(path).matchAll(/action: '([a-z.-]+)'/g)].map(([, action = '']) => action)),
  ...outcomes.map((outcome) => `deployment.${outcome}`),
])

test('every event type that is no alarm\'s and no test is an action of the audit trail: nobody can wait for what never comes', () => {
  expect(audited.size).toBeGreaterThan(30)
  expect(eventTypes.filter((type) => !type.startsWith('alarm.') && type !== 'webhook.test' && !audited.has(type))).toEqual([])
})

test('every change of an alarm is written to its history', () => {
  const triggers = allFiles.filter((path) => /^db\/migrations\/.*\.sql$/.test(path)).map(textOf).join('\n')
  expect(alarmChanges.filter((change) => !triggers.includes(`'${change}'`))).toEqual([])
})
