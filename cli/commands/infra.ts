import { examine } from '../doctor/examine.ts'
import { reportText } from '../doctor/report-text.ts'
import { exitOfStatus } from '../exit-codes.ts'
import { printText } from '../output/print.ts'
import { runInfra } from '../run-infra.ts'
import type { AddCommands, GlobalOptions } from '../session.ts'

type AwsOptions = { fleet?: string; region?: string; account?: string; controller?: string; tokenFile?: string; apply?: boolean; printPolicy?: boolean }

/** What was given on this command line, for the program that does the work: it knows what is missing. */
const argumentsOf = (options: Record<string, string | boolean | undefined>): string[] =>
  Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : value === true ? [`--${name}`] : [`--${name}`, String(value)]))

export const addInfraCommands: AddCommands = (program, act) => {
  const infra = program.command('infra').description('what the controller runs on: set up, checked, brought up to date')

  // infra/aws/main.ts
  infra.command('aws').description("set up the account's side of AWS IoT Core; shows first what it will change")
    .option('--fleet <name>', 'the fleet (else MURMUR_FLEET)').option('--region <region>', 'such as eu-central-1 (else MURMUR_AWS_REGION, else AWS_REGION)').option('--account <number>', 'the 12 digits (else MURMUR_AWS_ACCOUNT)')
    .option('--controller <url>', 'how AWS reaches the controller, over https (else MURMUR_PUBLIC_URL)').option('--token-file <file>', 'holds a token of the role ingest for the rules; without it they keep theirs')
    .option('--apply', 'make the changes without asking').option('--print-policy', "only print the IAM policy of the controller's user")
    .addHelpText('after', '\nIt acts with your own credentials, from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE and so on.')
    .action(act<AwsOptions & GlobalOptions>(async ({ io, endWith }, _, { fleet, region, account, controller, tokenFile, apply, printPolicy }) => {
      endWith(exitOfStatus(await runInfra(io, 'aws', argumentsOf({ fleet, region, account, controller, 'token-file': tokenFile, apply, 'print-policy': printPolicy }))))
    }))

  infra.command('doctor').description('use every link of the controller once, and say what is wrong and how to mend it')
    .action(act(async ({ io, format, access, endWith }) => {
      const examination = await examine(io, await access())
      printText({ io, format }, examination, reportText(examination))
      if (examination.findings.some(({ state }) => state === 'failing')) endWith('link-failed')
    }))

  // infra/migrate/main.ts
  infra.command('migrate').description('what the database at MURMUR_DATABASE_URL (else in MURMUR_DATA) lacks; changes nothing without --apply')
    .option('--apply', 'bring it up to date')
    .action(act<{ apply?: boolean }>(async ({ io, format, endWith }, _, { apply }) => {
      endWith(exitOfStatus(await runInfra(io, 'migrate', argumentsOf({ apply, json: format === 'json' ? true : undefined }))))
    }))
}
