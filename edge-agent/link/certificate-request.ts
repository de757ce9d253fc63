import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { concatBytes, toBase64, utf8 } from '../../protocol/bytes.ts'

/** DER (X.690): a tag, the length of what follows, and that. */
function der(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const content = concatBytes(parts)
  const { length } = content
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return concatBytes([Uint8Array.from(head), content])
}

const [sequence, set, identifier, text, integer, bits, attributes] = [0x30, 0x31, 0x06, 0x0c, 0x02, 0x03, 0xa0] as const
const commonName = Uint8Array.of(0x55, 0x04, 0x03)
const ecdsaWithSha256 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)
const noUnusedBits = Uint8Array.of(0)

/** A new ECDSA key on P-256, PKCS #8 in PEM: what brokers take where they do not take Ed25519. */
export const makeCertificateKey = (): string => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string

/** A certificate request (PKCS #10, RFC 2986) in PEM for the key, in the name of `subject`; throws where the text is not such a key. */
export function certificateRequest(privateKey: string, subject: string): string {
  const key = createPrivateKey(privateKey)
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' })
  const name = der(sequence, der(set, der(sequence, der(identifier, commonName), der(text, utf8(subject)))))
  const asked = der(sequence, der(integer, Uint8Array.of(0)), name, publicKey, der(attributes))
  const signed = der(sequence, asked, der(sequence, der(identifier, ecdsaWithSha256)), der(bits, noUnusedBits, sign('sha256', asked, key)))
  const lines = toBase64(signed).match(/.{1,64}/g)!.join('\n')
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`
}
