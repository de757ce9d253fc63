import { SiteId } from '../../../protocol/ids.ts'
import type { Broker } from '../../ports/broker.ts'
import { confirmDestination } from './confirm-destination.ts'
import { reportPrefix } from './names.ts'
import type { AwsIotOptions } from './options.ts'
import { publishOverHttps } from './publish-over-https.ts'

/**
 * AWS IoT Core: a site is a thing of the registry, known by a certificate for its agent's own key. Nothing is kept between
 * two calls. The SDK for the registry is large, so it is loaded when a site enrols and not when the controller starts.
 */
export function createAwsBroker(options: AwsIotOptions): Broker & Required<Pick<Broker, 'certify' | 'confirmIngress'>> {
  return {
    messagesMax: options.messagesMax,
    reportPrefix: reportPrefix(options.fleet),
    publish: (messages) => publishOverHttps(options, messages),
    admit: async (site, incarnation) => (await import('./admit-thing.ts')).admitThing(options, SiteId.parse(site), incarnation),
    certify: async (site, incarnation, request) => (await import('./certify-thing.ts')).certifyThing(options, SiteId.parse(site), incarnation, request),
    expel: async (site) => (await import('./expel-thing.ts')).expelThing(options, SiteId.parse(site)),
    confirmIngress: (confirmation) => confirmDestination(options, confirmation),
  }
}
