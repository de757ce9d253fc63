import { ok, refuse, type Result } from '../../../protocol/result.ts'
import type { IngressConfirmation } from '../../ports/broker.ts'
import { controlPlaneOf, iotArn, type AwsPlace } from './names.ts'

/**
 * The address at which a destination is confirmed, if it is one of this account and region and the address is the control
 * plane's own; else why not. Anybody can send a confirmation, so nothing else is ever asked for (F62).
 */
export function judgeConfirmation(place: AwsPlace, controlEndpoint: string | undefined, { arn, enableUrl }: IngressConfirmation): Result<URL, string> {
  if (!arn.startsWith(iotArn(place, 'ruledestination/http/'))) return refuse('the destination is not one of this account and region')
  if (!URL.canParse(enableUrl)) return refuse('the address is not a URL')
  const url = new URL(enableUrl)
  if (url.origin !== new URL(controlEndpoint ?? controlPlaneOf(place.region)).origin) return refuse("the address is not of the region's control plane")
  if (url.username !== '' || url.password !== '') return refuse('the address carries credentials')
  if (!/^\/confirmdestination\/[^/]+$/.test(url.pathname) || url.search !== '') return refuse('the address does not confirm a destination')
  return ok(url)
}
