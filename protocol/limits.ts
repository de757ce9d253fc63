/**
 * A limit on everything that crosses a wire or a disk between two parts, in one place.
 * Units are in the names: Ms milliseconds, Bytes bytes, Max an inclusive upper bound.
 */
export const limits = {
  // identifiers and text
  slugLengthMax: 63,
  labelsMax: 64,
  selectorTermsMax: 32,
  reasonLengthMax: 500,
  // envelopes and messages
  envelopeBytesMax: 256 * 1024,
  mqttMessageBytesMax: 128 * 1024,
  httpBodyBytesMax: 1024 * 1024,
  ingestBodyBytesMax: 8 * 1024 * 1024,
  ingestBatchMax: 500,
  confirmationBytesMax: 8 * 1024,
  certificateRequestBytesMax: 4096,
  probeLifeMs: 15 * 60_000,
  trustKeysMax: 32,
  // releases
  manifestBytesMax: 128 * 1024,
  deliveryIndexBytesMax: 32 * 1024 * 1024,
  listingBytesMax: 32 * 1024 * 1024,
  componentsMax: 64,
  healthChecksMax: 64,
  filesPerTreeMax: 100_000,
  fileBytesMax: 64 * 1024 * 1024 * 1024,
  pathBytesMax: 1024,
  uploadsPerRequestMax: 500,
  downloadsPerRequestMax: 200,
  urlLifeMs: 15 * 60_000,
  /** S3 takes 5 MiB to 5 GiB, and 10,000 parts of an object. */
  partBytes: 64 * 1024 * 1024,
  partsPerRequestMax: 100,
  collectedPerRequestMax: 50,
  // sites
  sitesMax: 100_000,
  nodesPerSiteMax: 64,
  windowsPerSiteMax: 16,
  freezesPerSiteMax: 32,
  claimLifeMs: 24 * 3_600_000,
  // rollouts
  wavesMax: 32,
  stepsPerTickMax: 2000,
  retriesMax: 10,
  rolloutsPerTickMax: 50,
  advancePassesMax: 140,
  standingPerSiteMax: 50,
  steppingReleasesMax: 100,
  grantMarginMs: 60_000,
  casAttemptsMax: 3,
  // directives
  commandLifeMs: 10 * 60_000,
  dispatchBatchMax: 2000,
  // beyond what is ever counted to, and far below what a number holds exactly; no site can take the fleet's epoch to its end (F15)
  epochMax: 999_999,
  epochLiftedMax: 100_000,
  generationMax: 2 ** 48,
  attemptMax: 1_000_000,
  // scripts and checks run at a site
  scriptMs: 24 * 3_600_000,
  outputBytesMax: 64 * 1024,
  // agent
  spoolReportsMax: 4096,
  journalStartsMax: 5,
  agentClockSkewMs: 5 * 60_000,
  // backups
  backupPieceBytesMax: 64 * 1024 * 1024,
  backupIndexBytesMax: 16 * 1024 * 1024,
  restoreHelloLifeMs: 24 * 3_600_000,
  // HTTP
  pageSizeMax: 500,
  pageSizeDefault: 50,
  idempotencyLifeMs: 24 * 3_600_000,
} as const
