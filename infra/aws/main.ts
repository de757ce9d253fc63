import { createInterface } from 'node:readline/promises'
import { DescribeEndpointCommand, IoTClient } from '@aws-sdk/client-iot'
import { certificatePolicy } from './certificate-policy.ts'
import { controllerPolicy } from './controller-policy.ts'
import type { Part } from './part.ts'
import { planText, stepOf } from './plan-text.ts'
import { ruleDestination } from './rule-destination.ts'
import { help, readSettings, UsageError, type AccountSettings } from './settings.ts'
import { thingGroup } from './thing-group.ts'
import { topicRules } from './topic-rules.ts'

const exits = { done: 0, failed: 1, usage: 2 } as const
const say = (text: string): void => void process.stdout.write(text)

async function main(): Promise<number> {
  const asked = await readSettings(process.argv.slice(2), process.env)
  if (asked.kind === 'help') say(help)
  else if (asked.kind === 'print-policy') say(`${JSON.stringify(controllerPolicy(asked.place), null, 2)}\n`)
  else await setUp(asked.settings, asked.apply)
  return exits.done
}

async function setUp(settings: AccountSettings, apply: boolean): Promise<void> {
  const client = new IoTClient({ region: settings.region })
  try {
    say(`AWS IoT Core of account ${settings.account} in ${settings.region}: the fleet ${settings.fleet}, reports to ${settings.webhookUrl}\n\n`)
    const parts = await readParts(client, settings)
    say(planText(parts))
    const changes = parts.filter((part) => stepOf(part) !== 'keep')
    if (changes.length === 0) say('\nNothing to do.\n')
    else if (apply || (await confirmed(changes.length))) await make(changes)
    else return say('\nNothing was changed; --apply makes these changes.\n')
    const { endpointAddress } = await client.send(new DescribeEndpointCommand({ endpointType: 'iot:Data-ATS' }))
    say(`\nThe controller's settings:\n  MURMUR_AWS_IOT_ENDPOINT=https://${endpointAddress}\n  MURMUR_AWS_REGION=${settings.region}\n  MURMUR_AWS_ACCOUNT=${settings.account}\n`)
  } finally {
    client.destroy()
  }
}

/** In the order in which they are made: the rules last, so that they find where to send. */
async function readParts(client: IoTClient, settings: AccountSettings): Promise<Part[]> {
  return [await thingGroup(client, settings), await certificatePolicy(client, settings), await ruleDestination(client, settings), ...(await topicRules(client, settings))]
}

async function make(changes: readonly Part[]): Promise<void> {
  say('\n')
  for (const part of changes) {
    await part.make()
    say(`done    ${part.name}\n`)
  }
}

async function confirmed(changes: number): Promise<boolean> {
  if (!process.stdin.isTTY) return false
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  const answer = await lines.question(`\n${changes === 1 ? 'Make this change' : `Make these ${changes} changes`}? [y/N] `)
  lines.close()
  return /^y(es)?$/i.test(answer.trim())
}

process.exitCode = await main().catch((error: unknown) => {
  const isUsage = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true
  process.stderr.write(`murmur infra aws: ${error instanceof Error ? error.message || error.name : String(error)}\n`)
  return isUsage ? exits.usage : exits.failed
})
