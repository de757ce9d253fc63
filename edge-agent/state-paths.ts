/** Where everything is under an agent's state directory. */
export const statePaths = (stateDirectory: string) => ({
  root: stateDirectory,
  config: `${stateDirectory}/agent.json`,
  identity: `${stateDirectory}/identity.json`,
  pendingKey: `${stateDirectory}/pending-key.json`,
  certificate: `${stateDirectory}/certificate.json`,
  pendingCertificateKey: `${stateDirectory}/pending-certificate-key.pem`,
  trust: `${stateDirectory}/trust.json`,
  journal: `${stateDirectory}/journal`,
  held: `${stateDirectory}/held`,
  monitor: `${stateDirectory}/monitor`,
  spool: `${stateDirectory}/spool`,
  manifests: `${stateDirectory}/manifests`,
  content: `${stateDirectory}/content`,
  partial: `${stateDirectory}/partial`,
  trees: `${stateDirectory}/trees`,
  nodes: `${stateDirectory}/nodes`,
})
export type StatePaths = ReturnType<typeof statePaths>
