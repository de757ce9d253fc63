import { connect } from 'mqtt'
import { expect, onTestFinished } from 'vitest'
import { dynamicSecurityTopic } from '../../functions/adapters/mqtt/mosquitto-roles.ts'
import { controllerUser } from '../support/start-mosquitto.ts'
import { needs } from '../support/needs.ts'
import { makeMosquitto, type MosquittoUnderTest } from './broker.mosquitto.ts'

const { test } = needs('mosquitto')

type Site = { username: string; password: string; clientId: string; url: string }

/** Whether a client gets in, and stays in while it subscribes to its own topic. */
async function getsIn({ username, password, clientId, url }: Site): Promise<boolean> {
  const client = connect(url, { username, password, clientId, protocolVersion: 4, reconnectPeriod: 0 })
  try {
    await new Promise<void>((resolve, reject) => client.once('connect', () => resolve()).once('error', reject).once('close', () => reject(new Error('closed'))))
    return (await client.subscribeAsync(`murmur/v1/flock/sites/${username}/grant`, { qos: 1 }))[0]!.qos === 1
  } catch {
    return false
  } finally {
    client.end(true)
  }
}

/** What the plugin knows, asked for as an operator would. */
async function askPlugin(made: MosquittoUnderTest, command: Record<string, unknown>): Promise<any> {
  const { url, username, password } = made.access
  const client = connect(url, { username: username!, password: password!, protocolVersion: 4, reconnectPeriod: 0 })
  try {
    const answer = new Promise<any>((resolve) => client.on('message', (_, payload) => resolve(JSON.parse(payload.toString()).responses[0])))
    await client.subscribeAsync(`${dynamicSecurityTopic}/response`, { qos: 1 })
    await client.publishAsync(dynamicSecurityTopic, JSON.stringify({ commands: [command] }), { qos: 1 })
    return await answer
  } finally {
    client.end(true)
  }
}

async function make(options: Parameters<typeof makeMosquitto>[0] = {}): Promise<MosquittoUnderTest> {
  const made = await makeMosquitto(options)
  onTestFinished(() => made.dispose())
  return made
}

for (const perCall of [false, true]) {
  const how = perCall ? 'over WebSocket, with a connection for each call' : 'over a connection that is kept'

  test(`the registrar, ${how}: a call that is repeated, or that others make at the same time, comes to the same end`, async () => {
    const made = await make({ perCall })
    const other = made.openBroker()
    const credentials = await made.admit('north', 1)
    expect(await made.admit('north', 1)).toEqual(credentials)
    await Promise.all([made.admit('north', 2), other.admit('north', 2), made.admit('south', 1), other.admit('west', 1)])
    expect(await getsIn(credentials)).toBe(false)
    expect(await getsIn(await made.admit('north', 2))).toBe(true)
    const { data } = await askPlugin(made, { command: 'listClients' })
    expect(data.clients.sort()).toEqual([controllerUser, 'north', 'south', 'west'])
    await Promise.all([made.expel('north'), other.expel('north'), made.expel('nobody')])
    expect((await askPlugin(made, { command: 'listRoles' })).data.roles.sort()).toEqual(['controller', 'site:south', 'site:west'])
  })

  test(`the registrar, ${how}: what was left half-done is done by the next call`, async () => {
    const made = await make({ perCall })
    const rolename = 'site:north'
    // killed after the role, with rules of an older version
    await askPlugin(made, { command: 'createRole', rolename, acls: [{ acltype: 'subscribeLiteral', topic: 'of/old', allow: true }] })
    expect(await getsIn(await made.admit('north', 1))).toBe(true)
    // the user without its role, and one bound to no client
    await askPlugin(made, { command: 'removeClientRole', username: 'north', rolename })
    await askPlugin(made, { command: 'createClient', username: 'south', password: 'x' })
    const south = await made.admit('south', 1)
    expect(await getsIn(await made.admit('north', 1))).toBe(true)
    expect(await getsIn({ ...south, clientId: 'somebody' })).toBe(false)
    expect(await getsIn(south)).toBe(true)
    // killed after the user
    await askPlugin(made, { command: 'deleteClient', username: 'north' })
    await made.expel('north')
    expect((await askPlugin(made, { command: 'listRoles' })).data.roles.sort()).toEqual(['controller', 'site:south'])
  })
}

test('the registrar says what is wrong: no plugin rights, another password, a name that is taken by the controller', async () => {
  const made = await make()
  const south = await made.admit('south', 1)
  const powerless = made.openBroker({ username: 'south', password: south.password, timeoutMs: 1000 })
  // the broker binds the user to its client, so the controller's connection is not even let in
  await expect(powerless.admit('north', 1)).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('Not authorized') })
  await askPlugin(made, { command: 'createClient', username: 'half', password: 'half', roles: [{ rolename: 'site:south' }] })
  const half = made.openBroker({ username: 'half', password: 'half', timeoutMs: 1000 })
  await expect(half.admit('north', 1)).rejects.toMatchObject({ code: 'forbidden', message: expect.stringContaining('refuses') })
  await askPlugin(made, { command: 'createRole', rolename: 'listener', acls: [{ acltype: 'subscribeLiteral', topic: `${dynamicSecurityTopic}/response`, allow: true }] })
  await askPlugin(made, { command: 'createClient', username: 'mute', password: 'mute', roles: [{ rolename: 'listener' }] })
  const mute = made.openBroker({ username: 'mute', password: 'mute', timeoutMs: 500 })
  await expect(mute.admit('north', 1)).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('did not answer within 500 ms') })
  await expect(made.openBroker({ username: 'north' }).admit('north', 1)).rejects.toMatchObject({ code: 'conflict' })
})

test('the registrar leaves users alone that are no sites, whatever a site is called', async () => {
  const made = await make()
  await askPlugin(made, { command: 'createRole', rolename: 'listener', acls: [] })
  await askPlugin(made, { command: 'createClient', username: 'bridge', password: 'its own', roles: [{ rolename: 'listener' }] })
  const before = (await askPlugin(made, { command: 'getClient', username: 'bridge' })).data
  await expect(made.admit('bridge', 1)).rejects.toMatchObject({ code: 'conflict', reason: 'broker-user' })
  await made.expel('bridge')
  expect((await askPlugin(made, { command: 'getClient', username: 'bridge' })).data).toEqual(before)
})

test('whom the registrar let in is still let in after mosquitto was killed', async () => {
  const made = await make()
  const north = await made.admit('north', 1)
  await made.mosquitto.restart('SIGKILL')
  expect(await getsIn(north)).toBe(true)
  await until(() => made.expel('north'))
  expect(await getsIn(north)).toBe(false)
})

/** The connection that was kept is found dead by the first call after a restart. */
async function until(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return void (await work())
    } catch (error) {
      if (tries === 3) throw error
    }
  }
}
