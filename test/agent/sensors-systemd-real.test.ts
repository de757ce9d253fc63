import { expect, onTestFinished } from 'vitest'
import { createNodeSensors } from '../../edge-agent/host/node-sensors.ts'
import { machineFiles, machineWith } from '../support/machine-files.ts'
import { needs } from '../support/needs.ts'
import { until } from '../support/program.ts'
import { startSystemd } from '../support/start-systemd.ts'

const { test } = needs('namespaces', 'dbus')

const units = {
  'broken.service': '[Unit]\nDescription=Always fails\n[Service]\nType=oneshot\nExecStart=/bin/false\n',
  'fine.service': '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n',
}
const failed = { ok: true, value: [{ name: 'broken.service', description: 'Always fails' }] }

test('a real systemd names the units that have failed, at its own socket and over the bus that it starts', async () => {
  const systemd = startSystemd(machineFiles({}), units)
  onTestFinished(() => systemd.end())
  for (const root of [machineWith('run/systemd/private', systemd.private), machineWith('run/dbus/system_bus_socket', systemd.bus)]) {
    const sensors = createNodeSensors({ root })
    let told: unknown
    await until('systemd names the unit', async () => JSON.stringify((told = await sensors.failedUnits())) === JSON.stringify(failed), [systemd.program], 30_000)
    expect(told).toEqual(failed)
  }
})
