import { runTests } from './run.ts'

process.exitCode = await runTests(['test/tidy'], false)
