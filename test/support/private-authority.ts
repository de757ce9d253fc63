import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A certificate with its key, in PEM. */
export type Certified = { certificate: string; key: string }

/** A certificate authority that nobody believes by itself; its files lie in `directory`. Needs openssl. */
export function createPrivateAuthority(directory: string) {
  const at = (name: string): string => join(directory, name)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=An authority of our own', '-days', '30', '-addext', 'basicConstraints=critical,CA:TRUE')
  return {
    file: at('ca.pem'),
    certificate: readFileSync(at('ca.pem'), 'utf8'),
    /** A certificate for these host names, or for a client where there are none. */
    certify(name: string, hosts: readonly string[] = []): Certified {
      openssl('req', ...newKey, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', `/CN=${name}`)
      writeFileSync(at(`${name}.ext`), hosts.length === 0 ? 'extendedKeyUsage=clientAuth\n' : `subjectAltName=${hosts.map((host) => `DNS:${host}`).join(',')}\n`)
      openssl('x509', '-req', '-in', at(`${name}.csr`), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at(`${name}.pem`), '-days', '30', '-extfile', at(`${name}.ext`))
      return { certificate: readFileSync(at(`${name}.pem`), 'utf8'), key: readFileSync(at(`${name}.key`), 'utf8') }
    },
  }
}
