import { X509Certificate } from 'node:crypto'
import { ok, refuse, type Result } from '../../../protocol/result.ts'
import type { CertificateFacts } from '../sensors.ts'

const certificatesMax = 256
const subjectCharactersMax = 200
const begin = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/g
const block = new RegExp(`${begin.source}[^-]*-----END (?:TRUSTED |X509 )?CERTIFICATE-----`, 'g')

/** The certificate of a text in PEM that ends first: of a chain, each has to be good. A refusal where there is none, or one of them is damaged. */
export function readCertificate(pem: string): Result<CertificateFacts, string> {
  const blocks = (pem.match(block) ?? []).slice(0, certificatesMax)
  const begun = Math.min((pem.match(begin) ?? []).length, certificatesMax)
  if (begun === 0) return refuse('it holds no certificate in PEM')
  if (blocks.length < begun) return refuse('a certificate in it is cut off')
  const found: CertificateFacts[] = []
  for (const [i, text] of blocks.entries()) {
    try {
      const { validToDate, subject } = new X509Certificate(text)
      if (Number.isNaN(validToDate.getTime())) return refuse(`certificate ${i + 1} does not say when it ends`)
      found.push({ expiresAtMs: validToDate.getTime(), subject: (subject ?? '').replaceAll(/\p{Cc}+/gu, ', ').slice(0, subjectCharactersMax).toWellFormed() })
    } catch {
      return refuse(`certificate ${i + 1} is damaged`)
    }
  }
  return ok(found.reduce((first, each) => (each.expiresAtMs < first.expiresAtMs ? each : first)))
}
