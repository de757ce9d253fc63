import { describe, expect, test } from 'vitest'
import { freshState, HeldState } from '../../edge-agent/held/state.ts'
import { JournalRecord } from '../../edge-agent/journal/record.ts'
import { openStore } from '../../edge-agent/journal/store.ts'
import { utf8, toHex } from '../../protocol/bytes.ts'
import { SimulatedFiles } from '../support/simulated-files.ts'
import { syncCrypto } from '../support/sync-crypto.ts'

/** What version 0.1.0 left in the middle of an attempt, field by field; it never changes. */
const record = {
  v: 1, deployment: 'ro_01j00000000000000000000000:harbour', attempt: 2, requestId: 'request-1',
  grant: { startByMs: 1_767_225_600_000, issuedAtMs: 1_767_225_000_000, maxDurationMs: 3_600_000, bootId: '0123456789abcdef0123456789abcdef' },
  from: { id: 'shop@1.0.0', digest: 'a'.repeat(64) }, to: { id: 'shop@2.0.0', digest: 'b'.repeat(64) }, back: false,
  batches: [['worker-0'], ['controller-0']], phase: 'applying', batch: 1, starts: 1, elapsedMs: 1234.5, wallMs: 1_767_225_100_000,
  ending: null, unrestored: false, fault: null, outcome: null, bytesDone: 10, bytesTotal: 10,
}
const held = {
  v: 1, incarnation: 1, desired: null, grant: null, grantRefused: null, abort: null, commandPosition: { epoch: 1, generation: 7 }, timeFloorMs: 5, seqCeiling: 2048,
  running: record.from, previous: null, history: [record.from], staged: null,
}

/** The same with the defaults of what was added since. */
const heldToday = { ...held, protocolTold: 1 }

/** A slot as the store writes it: a digest, then the value with its serial number. */
async function written(value: object, path: string): Promise<SimulatedFiles> {
  const files = new SimulatedFiles()
  const text = JSON.stringify({ serial: 1, value })
  await files.write(`${path}.0`, utf8(`${toHex(syncCrypto.sha256(utf8(text)))}\n${text}`))
  return files
}
const journalOf = async (value: object) => (await openStore(await written(value, '/journal'), syncCrypto, '/journal', JournalRecord)).current
const heldOf = async (value: object) => (await openStore(await written(value, '/held'), syncCrypto, '/held', HeldState)).current

describe('what an agent keeps outlives a change of its version, in both directions (F29)', () => {
  test('the journal of version 0.1.0 is read as it was written', async () => {
    expect(await journalOf(record)).toEqual(record)
    expect(await heldOf(held)).toEqual(heldToday)
  })

  test('a field of a newer version is passed over', async () => {
    expect(await journalOf({ ...record, rebootsLeft: 3, grant: { ...record.grant, window: 'x' } })).toEqual(record)
    expect(await heldOf({ ...held, bandwidth: 7 })).toEqual(heldToday)
  })

  test('a directive of a newer version that cannot be read is as if it had not come; the rest stays', async () => {
    expect(await heldOf({ ...held, desired: { v: 2, kind: 'desired' }, grant: { unheard: 'of' }, abort: { command: { v: 3 } } })).toEqual(heldToday)
  })

  test('nothing that is written today lacks a field of version 0.1.0', () => {
    expect(Object.keys(HeldState.parse(freshState(1, null)))).toEqual(expect.arrayContaining(Object.keys(held)))
    expect(Object.keys(JournalRecord.shape)).toEqual(expect.arrayContaining(Object.keys(record)))
  })
})
