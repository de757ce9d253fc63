import { agentContracts } from './agent.ts'
import { alarmContracts } from './alarms.ts'
import { collectionContracts } from './collection.ts'
import { ingressContracts } from './ingress.ts'
import { linkContracts } from './links.ts'
import { monitoringContracts } from './monitoring.ts'
import { operationContracts } from './operations.ts'
import { releaseContracts } from './releases.ts'
import { restoreContracts } from './restores.ts'
import { rolloutContracts } from './rollouts.ts'
import { siteContracts } from './sites.ts'
import { uploadContracts } from './uploads.ts'
import { usageContracts } from './usage.ts'
import { webhookContracts } from './webhooks.ts'

/** Every operation of the HTTP API. OpenAPI, the authorisation matrix and the CLI are made from this one object. */
export const contracts = { ...siteContracts, ...releaseContracts, ...uploadContracts, ...collectionContracts, ...rolloutContracts, ...restoreContracts, ...operationContracts, ...alarmContracts, ...webhookContracts, ...usageContracts, ...monitoringContracts, ...linkContracts, ...ingressContracts, ...agentContracts } as const
export type ContractId = keyof typeof contracts
