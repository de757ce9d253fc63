/** The version of this agent, as hello reports it. A test keeps it equal to package.json's. */
export const agentVersion = '0.2.0'
/** The protocol versions this agent speaks. */
export const protocolRange = { min: 1, max: 2 } as const
