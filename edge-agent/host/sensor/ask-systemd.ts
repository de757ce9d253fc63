import { ok, refuse, type Result } from '../../../protocol/result.ts'
import type { FailedUnit } from '../sensors.ts'
import { callBus } from './call-bus.ts'
import type { Kernel } from './kernel.ts'

const busPath = '/run/dbus/system_bus_socket'
/** Systemd's own, for root only: there also where no message bus runs. */
const privatePath = '/run/systemd/private'
const unitsMax = 256
const nameCharactersMax = 256
const wordsMax = 200

const listFailed = { destination: 'org.freedesktop.systemd1', path: '/org/freedesktop/systemd1', interface: 'org.freedesktop.systemd1.Manager', member: 'ListUnitsFiltered', body: [['failed']] }

/** `a(ssssssouso)`: name, description, load state, active state and more. */
function unitsIn([list]: readonly unknown[]): FailedUnit[] {
  if (!Array.isArray(list)) throw new Error('it answers something else')
  return list.slice(0, unitsMax).map((entry: unknown) => {
    const [name, description] = Array.isArray(entry) ? entry : []
    if (typeof name !== 'string' || typeof description !== 'string') throw new Error('it answers something else')
    return { name: name.slice(0, nameCharactersMax), description: description.slice(0, wordsMax) }
  })
}

/** The units that systemd calls failed, 256 at most, asked over D-Bus; a refusal where there is no systemd or it does not answer. */
export async function askSystemd(kernel: Kernel): Promise<Result<FailedUnit[], string>> {
  let why = ''
  for (const [path, isBus] of [[busPath, true], [privatePath, false]] as const) {
    try {
      return ok(unitsIn(await callBus(kernel.at(path), isBus, listFailed)))
    } catch (error) {
      why += `${why === '' ? '' : '; '}${path}: ${(error instanceof Error ? error.message : String(error)).slice(0, wordsMax)}`
    }
  }
  return refuse(why)
}
