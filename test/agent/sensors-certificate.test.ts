import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createNodeSensors } from '../../edge-agent/host/node-sensors.ts'
import { machineFiles } from '../support/machine-files.ts'
import { endedCertificate, localhostKey, untrustedCertificate } from '../support/tls-certificates.ts'

const told = (pem: string) => createNodeSensors().certificate({ pem })

test('a certificate says when it ends, and whose it is', async () => {
  expect(await told(untrustedCertificate)).toEqual({ ok: true, value: { expiresAtMs: Date.parse('2126-10-29T14:37:38Z'), subject: 'CN=localhost' } })
})

test('of a chain the one counts that ends first, wherever it stands, with keys and words between', async () => {
  const ended = { ok: true, value: { expiresAtMs: Date.parse('2020-02-01T00:00:00Z'), subject: 'CN=localhost' } }
  expect(await told(`subject=/CN=x\n${untrustedCertificate}${localhostKey}words\n${endedCertificate}`)).toEqual(ended)
  expect(await told(`${endedCertificate}${untrustedCertificate}`)).toEqual(ended)
})

test.each([
  ['nothing', '', 'no certificate'], ['a key', localhostKey, 'no certificate'], ['half a certificate', untrustedCertificate.slice(0, 400), 'cut off'],
  ['a whole and half of another', untrustedCertificate + endedCertificate.slice(0, 300), 'cut off'], ['other letters', untrustedCertificate.replace('BljCC', 'BljCD').replace('EpsBRM', 'AAAAAA'), 'damaged'],
  ['a good one and a damaged one', untrustedCertificate + untrustedCertificate.replace('MIIBljCCATugAwIBAgIU', 'MIIBljCCATugAwIBAgJU'), 'certificate 2 is damaged'],
])('a text that holds %s is a finding', async (_, pem, why) => {
  expect(await told(pem)).toMatchObject({ ok: false, refusal: expect.stringContaining(why) as unknown })
})

test('a file is read like a text, and one that is missing is a finding', async () => {
  const root = machineFiles({ 'etc/tls/cert.pem': untrustedCertificate })
  const sensors = createNodeSensors({ root })
  expect(await sensors.certificate({ path: '/etc/tls/cert.pem' })).toEqual(await told(untrustedCertificate))
  expect(await sensors.certificate({ path: '/etc/tls/none.pem' })).toEqual({ ok: false, refusal: 'it cannot be read' })
  expect(await createNodeSensors().certificate({ path: join(root, 'etc') })).toEqual({ ok: false, refusal: 'it cannot be read' })
})
