import { describe, expect, test } from 'vitest'
import { judgeAddresses, judgeUrl, nothingAllowed, parseAllowed, type Allowed } from '../../functions/webhook/judge-address.ts'

const allow = (list: string): Allowed => {
  const parsed = parseAllowed(list)
  if (!parsed.ok) throw new Error(parsed.refusal)
  return parsed.value
}

/** Why a URL is refused whose host, where it is a name, resolves to `addresses`. */
function whyNot(url: string, addresses: readonly string[] = ['8.8.8.8'], allowed = nothingAllowed): string | null {
  const judged = judgeUrl(url)
  if (!judged.ok) return judged.refusal
  return judgeAddresses(judged.value, judged.value.literal ? [judged.value.host] : addresses, allowed)
}

describe('F62: where webhooks never go', () => {
  test.each([
    ['loopback', 'https://127.0.0.1/'], ['loopback, short', 'https://127.1/'], ['loopback, hexadecimal', 'https://0x7f000001/'], ['loopback, octal', 'https://017700000001/'],
    ['loopback, decimal', 'https://2130706433/'], ['loopback, mixed', 'https://0x7f.0.0.01/'], ['loopback in other digits', 'https://①②⑦.⓪.⓪.①/'], ['loopback with the root\'s dot', 'https://127.0.0.1./'],
    ['loopback of IPv6', 'https://[::1]/'], ['unspecified', 'https://0.0.0.0/'], ['this network', 'https://0/'], ['unspecified of IPv6', 'https://[::]/'],
    ['private', 'https://10.0.0.1/'], ['private', 'https://172.16.0.1/'], ['private', 'https://172.31.255.255/'], ['private', 'https://192.168.1.1/'],
    ['link-local', 'https://169.254.1.1/'], ['carrier-grade NAT', 'https://100.64.0.1/'], ['benchmarking', 'https://198.18.0.1/'], ['documentation', 'https://203.0.113.7/'],
    ['protocol assignments', 'https://192.0.0.8/'], ['multicast', 'https://224.0.0.1/'], ['reserved', 'https://240.0.0.1/'], ['broadcast', 'https://255.255.255.255/'],
    ['unique-local', 'https://[fd00::1]/'], ['link-local of IPv6', 'https://[fe80::1]/'], ['site-local', 'https://[fec0::1]/'], ['multicast of IPv6', 'https://[ff02::1]/'],
    ['discard', 'https://[100::1]/'], ['documentation of IPv6', 'https://[2001:db8::1]/'], ['newer documentation', 'https://[3fff::1]/'],
    ['private, mapped', 'https://[::ffff:10.0.0.1]/'], ['loopback, mapped', 'https://[::ffff:7f00:1]/'], ['private, compatible', 'https://[::10.0.0.1]/'], ['private, translated', 'https://[::ffff:0:10.0.0.1]/'],
    ['private behind NAT64', 'https://[64:ff9b::10.0.0.1]/'], ['local NAT64', 'https://[64:ff9b:1::8.8.8.8]/'], ['6to4', 'https://[2002:a00:1::1]/'], ['Teredo', 'https://[2001:0:5ef5:79fd::1]/'],
  ])('%s: %s', (_, url) => {
    expect(whyNot(url)).toMatch(/not public/)
  })

  test.each([
    ['169.254.169.254'], ['169.254.170.2'], ['100.100.100.200'], ['168.63.129.16'], ['192.0.0.192'], ['fd00:ec2::254'], ['fd20:ce::254'], ['::ffff:169.254.169.254'], ['64:ff9b::a9fe:a9fe'],
  ])('the metadata service at %s, whatever is allowed', (address) => {
    expect(whyNot('https://hooks.example.com', [address])).toMatch(/metadata/)
    expect(whyNot('https://hooks.example.com', [address], allow('0.0.0.0/0, ::/0, hooks.example.com'))).toMatch(/metadata/)
  })

  test.each([
    'file:///etc/passwd', 'gopher://example.com:70/_x', 'ftp://example.com/', 'data:text/plain,x', 'javascript:alert(1)', 'ws://example.com/', 'https://user@example.com/', 'https://user:secret@example.com/',
    'https://:secret@example.com/', 'example.com', '//example.com', '', 'https://', 'https://example.com%00.internal/', 'https://[fe80::1%25eth0]/', 'https://...', `https://example.com/${'x'.repeat(2000)}`,
  ])('%s at all', (url) => {
    expect(whyNot(url, ['8.8.8.8'], allow('0.0.0.0/0, ::/0, example.com'))).not.toBeNull()
  })

  test.each(['https://printer.local/', 'https://db.internal/', 'https://metadata.google.internal./', 'https://localhost/', 'https://LOCALHOST/', 'https://ｌocalhost/', 'https://a.localhost/', 'https://router.home.arpa/', 'https://intranet/'])(
    '%s, even where it resolves to a public address, or to none', (url) => {
      expect(whyNot(url, ['8.8.8.8'])).toMatch(/the name .* goes only/)
      expect(whyNot(url, [])).toMatch(/the name .* goes only/)
    },
  )

  test.each(['https://example.com:25/', 'https://example.com:22/', 'https://example.com:6379/', 'https://example.com:80/', 'http://example.com/', 'http://example.com:443/'])('%s, which is no https where receivers listen', (url) => {
    expect(whyNot(url)).toMatch(/goes only/)
  })

  test('to a name of which one address is inside, wherever it stands among those outside', () => {
    expect(whyNot('https://example.com', ['8.8.8.8', '10.0.0.1', '2606:4700::1111'])).toMatch(/10\.0\.0\.1 is not public/)
    expect(whyNot('https://example.com', ['2606:4700::1111', 'fe80::1%eth0'])).toMatch(/not public/)
    expect(whyNot('https://example.com', ['nonsense'])).toMatch(/not an address/)
  })
})

describe('where webhooks go', () => {
  test.each([
    ['https://hooks.example.com/x', ['8.8.8.8', '2606:4700::1111']], ['https://hooks.example.com:8443/x?y=z#f', ['1.1.1.1']], ['https://8.8.8.8/', []], ['https://[2606:4700::1111]/', []], ['https://[64:ff9b::8.8.8.8]/', []],
    ['https://bücher.example/', ['8.8.8.8']], ['https://hooks.example.com./', ['8.8.8.8']],
  ])('%s', (url, addresses) => {
    expect(whyNot(url, addresses)).toBeNull()
  })

  test('a name in other letters is what the resolver is asked for', () => {
    expect(judgeUrl('https://BÜCHER.example./x')).toMatchObject({ ok: true, value: { host: 'xn--bcher-kva.example', literal: false } })
  })

  test('into networks that are allowed, by http and to any port too, and no further', () => {
    const allowed = allow('10.20.0.0/16, fd12::/16')
    expect(whyNot('http://10.20.3.4:9093/api', [], allowed)).toBeNull()
    expect(whyNot('http://[fd12::9]:80/', [], allowed)).toBeNull()
    expect(whyNot('http://alerts:9093/', ['10.20.3.4'], allowed)).toBeNull()
    expect(whyNot('https://[::ffff:10.20.0.1]/', [], allowed)).toBeNull()
    expect(whyNot('http://alerts:9093/', ['10.20.3.4', '8.8.8.8'], allowed)).toMatch(/goes only/)
    expect(whyNot('https://10.21.0.1/', [], allowed)).toMatch(/not public/)
  })

  test('to hosts that are allowed by name, and to no other name of theirs', () => {
    const allowed = allow('Hooks.Example.Internal')
    expect(whyNot('http://hooks.example.internal:8080/', ['192.168.0.9'], allowed)).toBeNull()
    expect(whyNot('http://x.hooks.example.internal:8080/', ['192.168.0.9'], allowed)).not.toBeNull()
    expect(whyNot('https://192.168.0.9/', [], allowed)).toMatch(/not public/)
  })

  test('an allowance that is neither network nor name is refused, with all that are wrong', () => {
    expect(parseAllowed('10.0.0.0/99, 10.1, a b, 10.0.0.0/8')).toMatchObject({ ok: false, refusal: expect.stringMatching(/10\.0\.0\.0\/99, 10\.1, a b$/) })
    expect(parseAllowed(' ')).toEqual({ ok: true, value: nothingAllowed })
  })
})
