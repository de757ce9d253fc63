import { makeProbe, readProbe } from '../ingest/probe.ts'
import type { Ctx } from '../context.ts'
import { failing, inTime, pause, unchecked, working, type Check, type Finding } from './finding.ts'

const publishMsMax = 5000
const returnMsMax = 5000
const cures = {
  broker: "see whether it runs and is reached from the controller, whether MURMUR_BROKER_USERNAME and MURMUR_BROKER_PASSWORD are what it was told, and whether that user may publish; its log names what it refused. With AWS IoT the user needs the policy that `murmur infra aws --print-policy` prints. For an authority of your own set NODE_EXTRA_CA_CERTS where the controller runs",
  node: 'this controller listens itself: its log says under `subscriber` whether the broker let it subscribe. With AWS IoT the rule posts to /v1/ingest/webhook: `murmur infra aws` says whether the rule is there and its destination confirmed',
  worker: "nothing brings the broker's messages here: run the bridge (`infra/bridge`), or have the broker post to /v1/ingest/webhook, with a token of the role ingest that is in force; with AWS IoT `murmur infra aws` says whether the rule that does is there and its destination confirmed",
} as const

/** A message to the controller itself: acknowledged by the broker, and back by the way that reports take. */
async function look(ctx: Ctx): Promise<Finding[]> {
  const nonce = ctx.ids.sortable(ctx.nowMs)
  const probe = await makeProbe(ctx, nonce)
  const acknowledged = await inTime(ctx.broker.publish([probe]), publishMsMax)
  if (!acknowledged.has(probe.key)) return [failing('broker', ctx.broker.fault?.() ?? 'it did not acknowledge a message', cures.broker), unchecked('ingest', 'nothing could be sent through the broker')]
  const sent = working('broker', 'took a message and acknowledged it')
  const tookMs = await awaitProbe(ctx, nonce)
  if (tookMs === null) return [sent, failing('ingest', `a message that the broker took did not come back within ${returnMsMax / 1000} s`, cures[ctx.config.host])]
  return [sent, working('ingest', `the same message came back the way that reports take (${tookMs} ms)`)]
}

/** How long the probe was on its way, or null when it did not come. Asks the database less and less often, at most nine times. */
async function awaitProbe(ctx: Ctx, nonce: string): Promise<number | null> {
  for (let waitedMs = 0, nextMs = 100; waitedMs < returnMsMax; waitedMs += nextMs, nextMs = Math.min(1000, nextMs * 2)) {
    await pause(nextMs)
    const last = await readProbe(ctx)
    if (last?.nonce === nonce) return last.receivedAtMs - last.sentAtMs
  }
  return null
}

export const checkBroker: Check = { link: 'broker', cure: cures.broker, withinMs: publishMsMax + returnMsMax + 3000, look }
