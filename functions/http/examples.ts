import type { BodyInput } from '../../protocol/http/contract.ts'
import type { ContractId, contracts } from '../../protocol/http/contracts.ts'

type WithBody = { [I in ContractId]: BodyInput<(typeof contracts)[I]> extends undefined ? never : I }[ContractId]

const digest = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
const envelope = (type: string) => ({
  payloadType: `application/vnd.murmur.${type}.v1+json`, payload: 'eyJ2IjoxfQ==',
  signatures: [{ keyid: digest, sig: 'QmFzZTY0IG9mIHRoZSA2NCBieXRlcyBvZiBhbiBFZDI1NTE5IHNpZ25hdHVyZSwgaGVyZSBhbiBleGFtcGxlLg==' }],
})

/** A body for every operation that takes one, as the reference shows it. A test holds each against its schema. */
export const examples: { [I in WithBody]: BodyInput<(typeof contracts)[I]> } = {
  createSite: {
    id: 'rathaus-nord', labels: { region: 'north', tier: 'gold' }, timeZone: 'Europe/Berlin',
    windows: [{ cron: '0 2 * * *', duration: '3h' }], freezes: [{ from: '2026-12-20', to: '2027-01-06', reason: 'end of the year' }],
  },
  updateSite: { labels: { region: 'north', tier: 'silver' } },
  createRelease: { manifest: envelope('manifest'), index: { digest, size: 48_213 } },
  signUploads: { objects: [{ digest, size: 8_388_608 }] },
  signParts: { size: 201_326_592, parts: [{ number: 1, sha256: digest, md5: 'CY9rzUYh03PK3k6DJie09g==' }] },
  completeUpload: { size: 201_326_592 },
  collectReleases: { dryRun: true, unusedFor: '90d' },
  rememberRelease: { digest },
  withdrawRelease: { reason: 'breaks the card readers of tier gold' },
  createRollout: {
    name: 'shop 1.5.0 to the north', target: { release: 'shop@1.5.0' }, selector: { matchLabels: { region: 'north' } },
    policy: { maxParallel: '5%', waves: [{ name: 'canary', size: 2, barrier: true, successThreshold: 1, soak: '30m' }, { name: 'rest', size: 'rest' }] },
  },
  planRollout: { name: 'shop 1.5.0 everywhere', target: { release: 'shop@1.5.0' }, selector: { all: true } },
  pauseRollout: { reason: 'looking into alarms in Kiel' },
  resumeRollout: { reason: 'two sites had a full disk' },
  approveRollout: { wave: 'canary', reason: 'the canary ran over a busy Saturday' },
  abortRollout: { mode: 'safe-point', reason: 'superseded by 1.5.1' },
  retryRollout: { sites: ['rathaus-nord'], reason: 'disk cleared' },
  waiveDeployments: { sites: ['rathaus-nord'], reason: 'the site is being rebuilt' },
  rollbackRollout: { reason: 'prices are rounded wrongly' },
  createToken: { name: 'ci-publisher', role: 'publisher', expiresIn: '90d' },
  putTrust: envelope('trust'),
  raiseAlarm: { site: 'rathaus-nord', alarmId: '100.003', entity: 'node=node-1.filesystem=/var', severity: 'major', text: '/var is 88 % full' },
  clearAlarm: { site: 'rathaus-nord', alarmId: '100.003', entity: 'node=node-1.filesystem=/var', reason: 'old logs are gone' },
  acknowledgeAlarm: { site: 'rathaus-nord', alarmId: '100.003', entity: 'node=node-1.filesystem=/var', note: 'ordered a larger disk' },
  shelveAlarm: { site: 'rathaus-nord', alarmId: '100.003', entity: 'node=node-1.filesystem=/var', duration: '7d', reason: 'the disk comes next week' },
  unshelveAlarm: { site: 'rathaus-nord', alarmId: '100.003', entity: 'node=node-1.filesystem=/var' },
  createWebhook: {
    name: 'pager of the north', url: 'https://hooks.example.com/services/T0123/B4567', filter: { types: ['alarm.*', 'rollout.pause'], severity: 'major', labelSelector: 'region=north' },
    format: 'standard', signing: 'v1', perSecond: 20,
  },
  updateWebhook: { filter: { types: ['alarm.*'], severity: 'critical' }, state: 'enabled' },
  rotateWebhook: { keepOldFor: '24h' },
  testWebhook: { message: 'is anybody there?' },
  replayDeliveries: { from: '2026-06-01T12:00:00Z', to: '2026-06-02T12:00:00Z', which: 'undelivered' },
  putMonitoringRule: { labelSelector: 'tier=gold', priority: 10, settings: { filesystem: { major: 80, critical: 92, ignore: ['/srv/scratch'] }, checks: [{ type: 'tcp', name: 'till-server', host: '10.20.0.5', port: 8443, severity: 'critical' }] } },
  putSiteMonitoring: { cpu: { major: null, critical: 98 }, clock: { servers: ['ntp.rathaus-nord.example'] } },
  lockNode: { reason: 'replacing its second disk' },
  ingest: { messages: [{ topic: 'murmur/v1/practice/sites/rathaus-nord/report', payload: 'eyJwYXlsb2FkVHlwZSI6Ii4uLiJ9' }] },
  ingestWebhook: { topic: 'murmur/v1/practice/sites/rathaus-nord/report', payload: 'eyJwYXlsb2FkVHlwZSI6Ii4uLiJ9' },
  confirmIngress: {
    messageType: 'DestinationConfirmation', arn: 'arn:aws:iot:eu-central-1:123456789012:ruledestination/http/7a280e37-b9c6-47a2-a751-0703693f46e4',
    enableUrl: 'https://iot.eu-central-1.amazonaws.com/confirmdestination/AYADeMXLrPrNY2wqJAKsFNn',
  },
  certify: { request: '-----BEGIN CERTIFICATE REQUEST-----\nMIHXMH8CAQAwHTEbMBkGA1UEAwwScHJhY3RpY2U6cmF0aGF1cw==\n-----END CERTIFICATE REQUEST-----\n' },
  enrol: { site: 'rathaus-nord', claim: 'mc_0123456789abcdef0123456789abcdef01234567', publicKey: 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=', proof: envelope('trust').signatures[0]!.sig, agentVersion: '0.1.0' },
  signDownloads: { objects: [digest] },
}
