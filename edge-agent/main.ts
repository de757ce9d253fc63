import { parseArgs } from 'node:util'
import { fromUtf8 } from '../protocol/bytes.ts'
import { webCrypto } from '../protocol/crypto.ts'
import { createAgent } from './agent.ts'
import { agentVersion } from './agent-version.ts'
import { parseConfig, type AgentConfig } from './config.ts'
import { readEnvironment, type Environment } from './environment.ts'
import { HeldState } from './held/state.ts'
import type { Host } from './host/host.ts'
import { nodeHost } from './host/node-host.ts'
import { nodeInstallation } from './host/node-installation.ts'
import { createNodeNetwork } from './host/node-network.ts'
import { createNodeSensors } from './host/node-sensors.ts'
import { useProxy } from './host/node-proxy.ts'
import { readIdentity } from './identity.ts'
import { attemptReport, JournalRecord } from './journal/record.ts'
import { openStore } from './journal/store.ts'
import { enrol } from './link/enrol.ts'
import { explain, type Log } from './log.ts'
import { statePaths } from './state-paths.ts'

const usage = `murmur-agent enrol --controller URL --site SITE --claim CLAIM --root FINGERPRINT [--state DIR] [--node name=/root,personality]... [--replace]
murmur-agent run [--state DIR]
murmur-agent status [--state DIR]
murmur-agent version

The last --node is the one the agent runs on. Without any, the site has one node, controller-0, whose root is /.
HTTPS_PROXY, HTTP_PROXY, NO_PROXY and NODE_EXTRA_CA_CERTS are honoured, for the broker too.
Exit status: 0 done, 1 it failed, 64 wrong arguments, 78 wrong configuration.
`
const exits = { done: 0, failed: 1, usage: 64, configuration: 78 } as const
const defaultState = '/var/lib/murmur-agent'

class UsageError extends Error {}

/** One line of JSON per event, on standard error. */
const logLine: Log = (level, event, facts = {}) => void process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...facts })}\n`)

/** The command line; returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args)
  } catch (error) {
    const wrongUse = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true
    logLine('error', 'failed', { error: explain(error) })
    if (wrongUse) process.stderr.write(usage)
    const wrongConfiguration = (error as { code?: string }).code === 'bad-request'
    return wrongUse ? exits.usage : wrongConfiguration ? exits.configuration : exits.failed
  }
}

async function dispatch(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args], allowPositionals: true,
    options: {
      controller: { type: 'string' }, site: { type: 'string' }, claim: { type: 'string' }, root: { type: 'string' }, state: { type: 'string', default: defaultState },
      node: { type: 'string', multiple: true, default: [] }, replace: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(usage)
    return exits.done
  }
  const environment = readEnvironment(process.env)
  useProxy(environment)
  const host: Host = { ...nodeHost, network: createNodeNetwork(environment) }
  switch (positionals.length === 1 ? positionals[0] : undefined) {
    case 'enrol': {
      const config = await enrol(host, webCrypto, {
        controllerUrl: required(values.controller, '--controller'), site: required(values.site, '--site'), claim: required(values.claim, '--claim'),
        rootFingerprint: required(values.root, '--root'), stateDirectory: values.state, nodes: nodesOf(values.node), replace: values.replace,
      })
      logLine('info', 'enrolled', { site: config.site, fleet: config.fleet, state: config.stateDirectory })
      return exits.done
    }
    case 'run':
      return run(host, await readConfig(host, values.state), environment)
    case 'status':
      process.stdout.write(`${JSON.stringify(await statusOf(host, await readConfig(host, values.state)), null, 2)}\n`)
      return exits.done
    case 'version':
      process.stdout.write(`${agentVersion}\n`)
      return exits.done
    default:
      throw new UsageError('one of enrol, run, status and version is needed')
  }
}

function required(value: string | undefined, name: string): string {
  if (value === undefined) throw new UsageError(`${name} is missing`)
  return value
}

/** `name=/root,personality`; the last one has the agent. */
function nodesOf(texts: readonly string[]): { name: string; root: string; personality: string; hasAgent: boolean }[] {
  const given = texts.length === 0 ? ['controller-0=/,controller'] : texts
  return given.map((text, i) => {
    const match = /^([^=]+)=(\/[^,]*),([a-z]+)$/.exec(text)
    if (match === null) throw new UsageError(`--node ${text} is not of the form name=/root,personality`)
    return { name: match[1]!, root: match[2]!, personality: match[3]!, hasAgent: i === given.length - 1 }
  })
}

async function readConfig(host: Host, stateDirectory: string): Promise<AgentConfig> {
  const path = statePaths(stateDirectory).config
  if ((await host.files.facts(path)) === null) throw new Error(`there is no ${path}: run "murmur-agent enrol" first`)
  return parseConfig(JSON.parse(fromUtf8(await host.files.read(path))))
}

async function run(host: Host, config: AgentConfig, environment: Environment): Promise<number> {
  const installation = nodeInstallation(environment)
  const sensing: Host = { ...host, sensors: createNodeSensors({ kubeconfig: config.kubeconfig ?? null }) }
  const agent = createAgent({ config, host: installation === undefined ? sensing : { ...sensing, installation }, crypto: webCrypto, log: logLine })
  const asked = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal))
  })
  await agent.start()
  logLine('info', 'started', { site: config.site, fleet: config.fleet, version: agentVersion, bootId: agent.status().bootId })
  logLine('info', 'stopping', { signal: await asked })
  await agent.stop()
  return exits.done
}

/** What the state directory says, whether or not an agent runs on it. */
async function statusOf(host: Host, config: AgentConfig): Promise<object> {
  const paths = statePaths(config.stateDirectory)
  const held = (await openStore(host.files, webCrypto, paths.held, HeldState)).current
  const journal = (await openStore(host.files, webCrypto, paths.journal, JournalRecord)).current
  return {
    site: config.site, fleet: config.fleet, controllerUrl: config.controllerUrl,
    incarnation: (await readIdentity(host.files, paths))?.enrolment.incarnation ?? null,
    running: held?.running ?? null, previous: held?.previous ?? null, staged: held?.staged ?? null, history: held?.history ?? [],
    desired: held?.desired?.release ?? null, attempt: journal === null ? null : attemptReport(journal),
  }
}
