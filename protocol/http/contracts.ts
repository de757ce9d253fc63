import { agentContracts } from './agent.ts'
import { ingressContracts } from './ingress.ts'
import { operationContracts } from './operations.ts'
import { releaseContracts } from './releases.ts'
import { rolloutContracts } from './rollouts.ts'
import { siteContracts } from './sites.ts'

/** Every operation of the HTTP API. OpenAPI, the authorisation matrix and the CLI are made from this one object. */
export const contracts = { ...siteContracts, ...releaseContracts, ...rolloutContracts, ...operationContracts, ...ingressContracts, ...agentContracts } as const
export type ContractId = keyof typeof contracts
