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
  /** A report as JSON, compressed or not: what fits into a message without. */
  reportBytesMax: 96 * 1024,
  /** A shorter report travels as it is: no broker counts its messages so finely. */
  compressedFromBytes: 1024,
  httpBodyBytesMax: 1024 * 1024,
  ingestBodyBytesMax: 8 * 1024 * 1024,
  ingestBatchMax: 500,
  /** Reports of a batch that are recorded in one go, as JSON: what they hold in memory does not depend on how well they were compressed. */
  ingestOpenedBytesMax: 4 * 1024 * 1024,
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
  // faults and monitoring
  alarmsPerSiteMax: 256,
  /** All that stand at a site, as JSON: with a block of metrics they fit into one message. */
  standingBytesMax: 40 * 1024,
  alarmEntityMax: 200,
  /** Changes of a site's alarms within `alarmFlapWindowMs`, from which on what it raises anew is only counted. */
  alarmChangesPerSiteMax: 1024,
  alarmHistoryMs: 90 * 86_400_000,
  /** How long the row of a cleared alarm stays, so that a late copy of its report raises nothing. */
  alarmClearedMs: 7 * 86_400_000,
  alarmFlapsMax: 6,
  alarmFlapWindowMs: 10 * 60_000,
  shelfLifeMs: 90 * 86_400_000,
  monitoringBytesMax: 64 * 1024,
  monitoringRulesMax: 200,
  siteChecksMax: 64,
  // metrics
  metricBlockMs: 15 * 60_000,
  samplesPerBlockMax: 180,
  filesystemsPerNodeMax: 32,
  interfacesPerNodeMax: 64,
  mountPathMax: 256,
  metricBlockBytesMax: 48 * 1024,
  /** Two days, and eight hours for what comes late and for a store that is away. */
  metricSlots: 224,
  metricDays: 128,
  metricPackBytesMax: 16 * 1024 * 1024,
  metricKeptMs: 400 * 86_400_000,
  usageRowsMax: 20_000,
  liveEveryS: 5,
  liveForMs: 60_000,
  // webhooks
  webhooksMax: 100,
  webhookUrlMax: 2000,
  webhookSecretsMax: 5,
  webhookBodyBytesMax: 20 * 1024,
  webhookAnswerBytesMax: 64 * 1024,
  webhookTimeoutMs: 15_000,
  webhookRetryForMs: 3 * 86_400_000,
  webhookRetryMs: [5_000, 30_000, 2 * 60_000, 10 * 60_000, 30 * 60_000, 3_600_000, 2 * 3_600_000, 4 * 3_600_000],
  webhookLogMs: 14 * 86_400_000,
  webhookReplayMax: 1000,
  // backups
  backupPieceBytesMax: 64 * 1024 * 1024,
  backupIndexBytesMax: 16 * 1024 * 1024,
  restoreHelloLifeMs: 24 * 3_600_000,
  // HTTP
  pageSizeMax: 500,
  pageSizeDefault: 50,
  idempotencyLifeMs: 24 * 3_600_000,
} as const
