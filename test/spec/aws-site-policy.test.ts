import { describe, expect, test } from 'vitest'
import { reportPrefix } from '../../functions/adapters/aws/names.ts'
import type { PolicyDocument } from '../../infra/aws/policy-document.ts'
import { sitePolicy } from '../../infra/aws/site-policy.ts'
import { FleetId, SiteId } from '../../protocol/ids.ts'
import { downTopics, probeTopic, rollCallTopic, sitePublications, siteSubscriptions, siteTopic, upTopics } from '../../protocol/topics.ts'

const fleet = FleetId.parse('flock')
const [north, south] = [SiteId.parse('north'), SiteId.parse('south')]
const place = { fleet, region: 'eu-central-1', account: '123456789012' }
const policy = sitePolicy(place)

/** A connection as AWS IoT judges it: what the client calls itself, and the things its certificate is attached to, with their `site`. */
type Client = { clientId: string; attachedTo: Record<string, string> }
const northern: Client = { clientId: 'flock:north', attachedTo: { 'flock:north': 'north' } }

/**
 * AWS IoT's evaluation as its developer guide has it: the thing is the one whose name is the client id, variables of a
 * thing have no value where the certificate is not attached to it, a statement with a variable without a value allows
 * nothing, `*` and `?` are wildcards where the document says so and not in a value, `+` and `#` mean themselves.
 */
function allows(document: PolicyDocument, client: Client, action: string, resource: string): boolean {
  const site = client.attachedTo[client.clientId]
  const values: Record<string, string | undefined> = {
    'iot:ClientId': client.clientId, 'iot:Connection.Thing.IsAttached': String(site !== undefined),
    'iot:Connection.Thing.ThingName': site === undefined ? undefined : client.clientId, 'iot:Connection.Thing.Attributes[site]': site,
  }
  const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const patternOf = (text: string): RegExp | null => {
    const parts = text.split(/(\$\{[^}]+\})/).map((part) => {
      const name = /^\$\{(.+)\}$/.exec(part)?.[1]
      if (name === undefined) return escape(part).replaceAll('\\*', '.*').replaceAll('\\?', '.')
      return values[name] === undefined ? null : escape(values[name])
    })
    return parts.includes(null) ? null : new RegExp(`^${parts.join('')}$`)
  }
  return document.Statement.some(({ Action, Resource, Condition }) => {
    const holds = Object.entries(Condition?.Bool ?? {}).every(([name, wanted]) => wanted.includes(values[name] ?? ''))
    return holds && Action.includes(`iot:${action}`) && Resource.some((text) => patternOf(text)?.test(`arn:aws:iot:eu-central-1:123456789012:${resource}`) === true)
  })
}

describe('a site with its own certificate', () => {
  test('connects as its thing, says what sites say and hears what they hear', () => {
    expect(allows(policy, northern, 'Connect', 'client/flock:north')).toBe(true)
    for (const topic of sitePublications(fleet, north)) expect(allows(policy, northern, 'Publish', `topic/${topic}`)).toBe(true)
    for (const topic of siteSubscriptions(fleet, north)) {
      expect(allows(policy, northern, 'Subscribe', `topicfilter/${topic}`)).toBe(true)
      expect(allows(policy, northern, 'Receive', `topic/${topic}`)).toBe(true)
    }
  })

  test('hands its reports straight to their rule, and nothing else to any rule (F40)', () => {
    const report = siteTopic(fleet, north, 'report')
    expect(reportPrefix(fleet)).toBe('$aws/rules/murmur_flock_report/')
    expect(allows(policy, northern, 'Publish', `topic/${reportPrefix(fleet)}${report}`)).toBe(true)
    const others = [
      siteTopic(fleet, south, 'report'), siteTopic(fleet, north, 'presence'), siteTopic(fleet, north, 'desired'), `${report}/more`, probeTopic(fleet), '', '#',
    ].map((topic) => `${reportPrefix(fleet)}${topic}`)
    for (const topic of [...others, `$aws/rules/murmur_flock_presence/${report}`, `$aws/rules/another/${report}`, `$aws/rules/${report}`]) expect(allows(policy, northern, 'Publish', `topic/${topic}`), topic).toBe(false)
  })

  test('does nothing else: not for another site, not for the controller, not for all, and retains nothing (F39, F40)', () => {
    for (const topic of [...upTopics, ...downTopics].map((each) => siteTopic(fleet, south, each))) {
      expect(allows(policy, northern, 'Publish', `topic/${topic}`)).toBe(false)
      expect(allows(policy, northern, 'Subscribe', `topicfilter/${topic}`)).toBe(false)
      expect(allows(policy, northern, 'Receive', `topic/${topic}`)).toBe(false)
    }
    for (const topic of [rollCallTopic(fleet), probeTopic(fleet), ...downTopics.map((each) => siteTopic(fleet, north, each)), `${siteTopic(fleet, north, 'report')}/more`, '$aws/things/flock:north/shadow/update']) {
      expect(allows(policy, northern, 'Publish', `topic/${topic}`), topic).toBe(false)
    }
    for (const filter of ['#', '+', '+/#', '$aws/#', `${reportPrefix(fleet)}#`, siteTopic(fleet, north, 'report'), 'murmur/v1/flock/#', 'murmur/v1/flock/sites/+/desired', 'murmur/v1/flock/sites/north/+', 'murmur/v1/+/roll-call', `$share/x/${siteTopic(fleet, north, 'desired')}`]) {
      expect(allows(policy, northern, 'Subscribe', `topicfilter/${filter}`), filter).toBe(false)
    }
    expect(policy.Statement.flatMap(({ Action }) => Action).sort()).toEqual(['iot:Connect', 'iot:Publish', 'iot:Receive', 'iot:Subscribe'])
  })
})

describe('a client that calls itself something else', () => {
  const ids = ['+', '#', '*', '?', '', 'flock:south', 'flock:+', 'flock:*', 'north', '${iot:Connection.Thing.ThingName}']

  test.each(ids)('%j gets in nowhere, since no thing of that name has the certificate (F39)', (clientId) => {
    const client = { ...northern, clientId }
    expect(allows(policy, client, 'Connect', `client/${clientId}`)).toBe(false)
    for (const site of [north, south, clientId as SiteId]) {
      for (const topic of [...upTopics, ...downTopics].map((each) => siteTopic(fleet, site, each))) {
        for (const [action, kind] of [['Publish', 'topic'], ['Receive', 'topic'], ['Subscribe', 'topicfilter']] as const) expect(allows(policy, client, action, `${kind}/${topic}`)).toBe(false)
      }
    }
  })

  test('would get in with a policy that believes client ids: these cases can fail', () => {
    const credulous = JSON.parse(JSON.stringify(policy).replaceAll(/\$\{iot:Connection\.Thing\.(?:ThingName|Attributes\[site\])\}/g, '${iot:ClientId}')) as PolicyDocument
    for (const statement of credulous.Statement) delete statement.Condition
    expect(allows(credulous, { ...northern, clientId: '+' }, 'Connect', 'client/+')).toBe(true)
    expect(allows(credulous, { ...northern, clientId: '+' }, 'Subscribe', 'topicfilter/murmur/v1/flock/sites/+/desired')).toBe(true)
  })

  test('gets no further by a thing of another fleet', () => {
    const stray = { clientId: 'herd:north', attachedTo: { 'herd:north': 'north' } }
    expect(allows(sitePolicy({ ...place, fleet: FleetId.parse('herd') }), stray, 'Publish', `topic/${siteTopic(fleet, north, 'report')}`)).toBe(false)
  })
})

describe('the document', () => {
  test('never mentions what a client says of itself, and fits into what AWS takes', () => {
    const text = JSON.stringify(policy)
    expect(text).not.toContain('iot:ClientId')
    expect(text.length).toBeLessThanOrEqual(2048)
  })

  test('is refused with the reason where the name of the fleet makes it too long', () => {
    expect(() => sitePolicy({ ...place, region: 'us-gov-west-1', fleet: FleetId.parse('f'.repeat(63)) })).toThrow('too long for AWS IoT')
  })

  test('names the partition of its region', () => {
    expect(JSON.stringify(sitePolicy({ ...place, region: 'us-gov-west-1' }))).toContain('arn:aws-us-gov:iot:us-gov-west-1:')
    expect(JSON.stringify(sitePolicy({ ...place, region: 'cn-north-1' }))).toContain('arn:aws-cn:iot:cn-north-1:')
  })
})
