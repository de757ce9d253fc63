import type { Host } from '../host/host.ts'
import { DriverError, type Change, type Driver, type Observed } from './contract.ts'

const inWords = (observed: Observed): string =>
  observed.state === 'present' ? `tree ${observed.digest} is in effect` : observed.state === 'mixed' ? `it is in between: ${observed.detail}` : 'nothing is in effect'

/** `verify` of every driver: what is observed is what `to` asks for. */
export const verifyObserved: Driver['verify'] = async function (this: Driver, host: Host, change: Change): Promise<void> {
  const observed = await this.observe(host, change)
  const wanted: Observed = change.to === null ? { state: 'absent' } : { state: 'present', digest: change.to.tree.digest }
  const fulfilled = observed.state === wanted.state && (observed.state !== 'present' || observed.digest === (wanted as typeof observed).digest)
  if (!fulfilled) throw new DriverError('not-in-effect', `expected: ${inWords(wanted)}; found: ${inWords(observed)}`)
}
