import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { leftOutVariable, type LeftOut } from './support/left-out.ts'

const root = join(import.meta.dirname, '..')
const runMsMax = 45 * 60_000

/** Runs a program of node_modules under this very Node, its output straight through. Resolves with its exit status. */
function run(program: string, args: readonly string[], env: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'node_modules', program), ...args], { cwd: root, stdio: 'inherit', env: { ...process.env, ...env }, timeout: runMsMax })
    child.on('error', reject)
    child.on('exit', (code) => resolve(code ?? 1))
  })
}

type JsonReport = { testResults: { name: string; status: string; message: string; assertionResults: { status: string; fullName: string }[] }[] }
type Tally = { passed: number; failed: number; skipped: number }

/** What vitest's report counts; a file that could not even be read is one failure. */
function tallyOf(report: JsonReport): Tally {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 }
  for (const file of report.testResults) {
    const failedBefore = tally.failed
    for (const { status } of file.assertionResults) tally[status === 'passed' || status === 'failed' ? status : 'skipped']++
    if (file.status === 'failed' && tally.failed === failedBefore) tally.failed++
  }
  return tally
}

function sayLeftOut(lines: readonly string[]): void {
  const unique = new Map(lines.map((line) => JSON.parse(line) as LeftOut).map((each) => [each.need, each]))
  for (const { is, cure } of unique.values()) console.log(`left out: what needs ${is}, which is not here (${cure})`)
}

/** What not every machine can do although all is installed: run the version before this one without its history, give a program its own view of the disks. */
const leftOutOnRequest = { MURMUR_WITHOUT_HISTORY: 'test/e2e/versions.test.ts', MURMUR_WITHOUT_NAMESPACES: 'test/agent/sensors-systemd-real.test.ts' }

/**
 * Type check, then vitest over the files that match `filters` (all without any). Prints what was left out, and as the
 * very last line `N passed, N failed, N skipped`; the type check counts as one. With `requireAll` what is skipped has failed.
 * Resolves with the exit status.
 */
export async function runTests(filters: readonly string[], requireAll: boolean): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'murmur-tests-'))
  try {
    const [reportFile, leftOutFile] = [join(directory, 'report.json'), join(directory, 'left-out')]
    console.log('Type check …')
    const typed = (await run('typescript/bin/tsc', ['-p', '.'])) === 0
    const without = Object.entries(leftOutOnRequest).flatMap(([variable, file]) => (process.env[variable] === '1' ? ['--exclude', file] : []))
    const status = await run('vitest/vitest.mjs', ['run', ...without, '--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`, ...filters], { [leftOutVariable]: leftOutFile })
    const tally = existsSync(reportFile) ? tallyOf(JSON.parse(readFileSync(reportFile, 'utf8')) as JsonReport) : { passed: 0, failed: 1, skipped: 0 }
    if (status !== 0 && tally.failed === 0) tally.failed++
    tally[typed ? 'passed' : 'failed']++
    if (existsSync(leftOutFile)) sayLeftOut(readFileSync(leftOutFile, 'utf8').trim().split('\n'))
    if (requireAll && tally.skipped > 0) {
      console.log(`${tally.skipped} skipped tests count as failed, because everything is required here`)
      tally.failed += tally.skipped
      tally.skipped = 0
    }
    if (!typed) console.log('the type check failed (above)')
    console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`)
    return tally.failed === 0 ? 0 : 1
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const args = process.argv.slice(2)
  const requireAll = args.includes('--require-all') || process.env.MURMUR_REQUIRE_ALL === '1'
  process.exitCode = await runTests(args.filter((arg) => arg !== '--require-all'), requireAll)
}
