import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nodeSettings } from '../../functions/platform/env.ts'
import { describeSettings } from '../../functions/platform/parse-environment.ts'
import { workerSettings } from '../../functions/platform/worker-env.ts'
import { bridgeSettings } from '../bridge/settings.ts'

/** `docs/SETTINGS.md`, made from what the programs themselves read. `node infra/launch.mjs infra/settings/main.ts` writes it anew. */
export const settingsPage = (): string => `# Settings

Every program reads its settings from its environment, once, when it starts. One that is wrong, or a name that begins with \`MURMUR_\` and means
nothing, keeps it from starting, and everything that is wrong is listed at once: on standard error, and by a Worker as a 503 answer. An empty value counts as
absent. This page is made from the code by \`node infra/launch.mjs infra/settings/main.ts\`; a test compares the two.

## The controller in one Node process

${describeSettings(nodeSettings)}

## The controller as a Cloudflare Worker

Variables stand in \`wrangler.toml\`; what is called a secret here is set with \`wrangler secret put\`. The R2 bucket is bound as \`OBJECTS\`.

${describeSettings(workerSettings)}

## The bridge

It carries reports from a broker to a controller that cannot listen itself (\`infra/bridge/main.ts\`).

${describeSettings(bridgeSettings)}
`

if (import.meta.main) await writeFile(join(import.meta.dirname, '../../docs/SETTINGS.md'), settingsPage())
