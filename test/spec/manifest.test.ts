import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../protocol/bytes.ts'
import { limits } from '../../protocol/limits.ts'
import { DeliveryIndex, irreversibleComponents, Manifest, NodePath, TreeListing, TreePath } from '../../protocol/manifest.ts'

const digest = 'ab'.repeat(32)
const tree = { digest, listingBytes: 10, size: 5, files: 1 }
const component = (name = 'app', changes: Record<string, unknown> = {}) => ({ name, version: '1', config: { driver: 'files', target: `/opt/${name}` }, tree, ...changes })
const agentConfig = { driver: 'agent', protocol: { min: 1, max: 2 } }
const manifest = (changes: Record<string, unknown> = {}) => ({ v: 1, kind: 'release', name: 'shop', version: '1.0.0', createdAtMs: 0, components: [component()], ...changes })
const faultOf = (value: unknown): string | null => {
  const parsed = Manifest.safeParse(value)
  return parsed.success ? null : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
}

describe('a manifest', () => {
  test('with all that is needed is read, and its defaults are filled in', () => {
    expect(Manifest.parse(manifest())).toMatchObject({ activation: 'in-service', protocolMin: 1, description: '', components: [{ health: [] }] })
  })

  test('refuses fields it does not know, wherever they stand: they may change what was signed (F9, F19)', () => {
    expect(faultOf(manifest({ channel: 'beta' }))).toContain('channel')
    expect(faultOf(manifest({ components: [component('app', { hook: 'x' })] }))).toContain('hook')
    expect(faultOf(manifest({ components: [component('app', { config: { driver: 'files', target: '/opt/a', run: 'sh' } })] }))).toContain('run')
    expect(faultOf(manifest({ components: [component('app', { tree: { ...tree, url: 'http://x' } })] }))).toContain('url')
  })

  test('keeps no property that only looks harmless (F19)', () => {
    const sneaky: unknown = JSON.parse('{"__proto__": {"kind": "patch"}, "constructor": 1}')
    expect(faultOf(manifest(sneaky as Record<string, unknown>))).not.toBeNull()
    expect(Object.getPrototypeOf(Manifest.parse(manifest()))).toBe(Object.prototype)
  })

  test.each([
    ['two components of one name', { components: [component('app'), component('app', { config: { driver: 'packages' } })] }, 'two components are called app'],
    ['two components that want one target', { components: [component('a', { config: { driver: 'files', target: '/opt/x' } }), component('b', { config: { driver: 'files', target: '/opt/x' } })] }, 'want /opt/x'],
    ['a target inside another', { components: [component('a', { config: { driver: 'files', target: '/opt/x' } }), component('b', { config: { driver: 'files', target: '/opt/x/y' } })] }, 'want /opt/x'],
    ['a patch that replaces nothing', { kind: 'patch' }, 'must say what it replaces'],
    ['no component', { components: [] }, 'components'],
    ['too many components', { components: Array.from({ length: limits.componentsMax + 1 }, (_, i) => component(`c${i}`)) }, 'components'],
    ['a version that is none', { version: '1.0' }, 'semantic version'],
    ['a name with a slash', { name: 'a/b' }, 'lower-case'],
    ['a range that is none', { requires: '^1.0.0' }, 'comparators'],
    ['a predecessor that is none', { replaces: ['Shop@1.0.0'] }, 'name@range'],
    ['a driver nobody has', { components: [component('app', { config: { driver: 'shell', command: 'rm' } })] }, 'driver'],
    ['a script without a way back that does not say so', { components: [component('app', { config: { driver: 'script', apply: 'go.sh' } })] }, 'irreversible'],
    ['a script with a way back that says it has none', { components: [component('app', { config: { driver: 'script', apply: 'go.sh', rollback: 'back.sh', irreversible: true } })] }, 'irreversible'],
    ['a script that would run for ever', { components: [component('app', { config: { driver: 'script', apply: 'go.sh', irreversible: true, timeout: '2d' } })] }, 'timeout'],
    ['a script outside its tree', { components: [component('app', { config: { driver: 'script', apply: '../go.sh', irreversible: true } })] }, 'relative path'],
    ['a check of another scheme', { components: [component('app', { health: [{ type: 'http', name: 'x', url: 'file:///etc/passwd' }] })] }, 'url'],
    ['a target that climbs', { components: [component('app', { config: { driver: 'files', target: '/opt/../etc' } })] }, 'absolute path'],
    ['the whole node as its target', { components: [component('app', { config: { driver: 'files', target: '/' } })] }, 'absolute path'],
    ['a size below nothing', { components: [component('app', { tree: { ...tree, size: -1 } })] }, 'size'],
    ['an agent for agents that do not know how', { components: [component('agent', { config: agentConfig })] }, 'since protocol 2'],
    ['two agents', { protocolMin: 2, components: [component('a', { config: agentConfig }), component('b', { config: agentConfig })] }, 'only one component'],
    ['an agent on some nodes', { protocolMin: 2, components: [component('a', { config: agentConfig, personalities: ['worker'] })] }, 'no personalities'],
    ['an agent that speaks nothing', { protocolMin: 2, components: [component('a', { config: { driver: 'agent', protocol: { min: 3, max: 2 } } })] }, 'above max'],
    ['a digest in capitals', { components: [component('app', { tree: { ...tree, digest: digest.toUpperCase() } })] }, 'hexadecimal'],
  ])('is refused with %s', (_, changes, words) => {
    expect(faultOf(manifest(changes))).toContain(words)
  })

  test('may bring the agent itself to sites whose agents know how', () => {
    expect(faultOf(manifest({ protocolMin: 2, components: [component('agent', { config: agentConfig }), component('app')] }))).toBeNull()
  })

  test('targets that only begin alike do not clash', () => {
    expect(faultOf(manifest({ components: [component('a', { config: { driver: 'files', target: '/opt/x' } }), component('b', { config: { driver: 'files', target: '/opt/xy' } })] }))).toBeNull()
  })

  test('names the components that cannot be undone', () => {
    const script = (name: string, more: Record<string, unknown>) => component(name, { config: { driver: 'script', apply: 'go.sh', ...more } })
    expect(irreversibleComponents(Manifest.parse(manifest({ components: [component(), script('once', { irreversible: true }), script('twice', { rollback: 'back.sh' })] })))).toEqual(['once'])
  })
})

const file = (path: string, changes: Record<string, unknown> = {}) => ({ type: 'file', path, mode: 0o644, size: 1, sha256: digest, ...changes })
const link = (path: string, target: string) => ({ type: 'link', path, target })
const listing = (...entries: unknown[]) => TreeListing.safeParse({ v: 1, entries })

describe('a tree listing (F16)', () => {
  test('of sorted files and links that stay inside is read', () => {
    expect(listing(file('a/b'), link('a/c', 'b'), link('a/d/e', '../../a/b'), file('z')).success).toBe(true)
    expect(listing().success).toBe(true)
  })

  test.each([
    ['a path twice', [file('a'), file('a')]],
    ['paths out of order', [file('b'), file('a')]],
    ['paths that differ only in case', [file('A'), file('a')]],
    ['directories that differ only in case from a file', [file('A'), file('a/b')]],
    ['a file below a file', [file('a'), file('a/b')]],
    ['a file below a link', [link('a', 'z'), file('a/b'), file('z')]],
    ['a link to an absolute path', [link('a', '/etc/passwd')]],
    ['a link out of the tree', [link('a', '..')]],
    ['a link far out of the tree', [link('a/b', '../../../etc')]],
    ['a link that climbs behind another name', [link('a/b', 'c/../../..')]],
    ['a link with a backslash', [link('a', '..\\b')]],
    ['a link with NUL', [link('a', 'b\0c')]],
    ['a set-user-id file', [file('a', { mode: 0o4755 })]],
    ['an entry of another kind', [{ type: 'device', path: 'a' }]],
    ['a field nobody knows', [file('a', { xattr: 'x' })]],
    ['a file over the limit', [file('a', { size: limits.fileBytesMax + 1 })]],
  ])('is refused with %s', (_, entries) => {
    expect(listing(...entries).success).toBe(false)
  })

  test('holds sizes beyond 2^32 exactly (F11)', () => {
    for (const size of [2 ** 31, 2 ** 32, 2 ** 32 + 1]) expect(TreeListing.parse({ v: 1, entries: [file('a', { size })] }).entries[0]).toMatchObject({ size })
  })

  test.each(['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', './a', 'a/.', 'a\\b', 'a\0b', 'e\u0301', 'x'.repeat(limits.pathBytesMax + 1)])('%j is no path inside a tree', (path) => {
    expect(TreePath.safeParse(path).success).toBe(false)
  })

  test.each(['a', '/', '/a/', '/a/../b', '//a', '/a/./b'])('%j is no path on a node', (path) => {
    expect(NodePath.safeParse(path).success).toBe(false)
  })
})

describe('a delivery index', () => {
  test('may name places, and nothing that is to be done with them', () => {
    const whole = { v: 1, content: { [digest]: { object: digest, storedBytes: 3, codec: 'zstd' } }, objects: { [digest]: 3 } }
    expect(DeliveryIndex.parse(whole).patches).toEqual([])
    expect(DeliveryIndex.safeParse({ ...whole, content: { [digest]: { object: digest, storedBytes: 3, codec: 'sh' } } }).success).toBe(false)
    expect(DeliveryIndex.safeParse({ ...whole, content: { 'not-a-digest': { object: digest, storedBytes: 3, codec: 'zstd' } } }).success).toBe(false)
    expect(DeliveryIndex.safeParse({ ...whole, content: { [digest]: { url: 'http://x' } } }).success).toBe(false)
  })
})

test('canonical JSON is the same for equal values, however they were put together', () => {
  expect(canonicalJson({ b: [1, { d: undefined, c: 'x' }], a: null })).toBe('{"a":null,"b":[1,{"c":"x"}]}')
  expect(canonicalJson({ é: 1, z: 2, Z: 3, '10': 4, '9': 5 })).toBe('{"10":4,"9":5,"Z":3,"z":2,"é":1}')
})
