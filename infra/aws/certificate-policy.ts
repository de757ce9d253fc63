import { CreatePolicyCommand, CreatePolicyVersionCommand, DeletePolicyVersionCommand, GetPolicyCommand, ListPolicyVersionsCommand, type IoTClient } from '@aws-sdk/client-iot'
import { sitePolicyName } from '../../functions/adapters/aws/names.ts'
import { nullIfMissing } from './null-if-missing.ts'
import type { Part } from './part.ts'
import type { AccountSettings } from './settings.ts'
import { sitePolicy } from './site-policy.ts'

/** AWS keeps no more versions of a policy than these. */
const versionsMax = 5

/** The policy of the fleet's certificates; a change of it is a new version, and counts for those that connect from then on. */
export async function certificatePolicy(client: IoTClient, settings: AccountSettings): Promise<Part> {
  const policyName = sitePolicyName(settings.fleet)
  const wanted = sitePolicy(settings)
  const policyDocument = JSON.stringify(wanted)
  const held = await nullIfMissing(client.send(new GetPolicyCommand({ policyName })))

  async function makeRoom(): Promise<void> {
    const { policyVersions = [] } = await client.send(new ListPolicyVersionsCommand({ policyName }))
    const old = policyVersions.filter((version) => version.isDefaultVersion !== true).sort((a, b) => Number(a.versionId) - Number(b.versionId))
    if (policyVersions.length >= versionsMax) await client.send(new DeletePolicyVersionCommand({ policyName, policyVersionId: old[0]!.versionId }))
  }

  return {
    name: `policy ${policyName}`, held: held === null ? null : (JSON.parse(held.policyDocument!) as unknown), wanted,
    async make() {
      if (held === null) return void (await client.send(new CreatePolicyCommand({ policyName, policyDocument })))
      await makeRoom()
      await client.send(new CreatePolicyVersionCommand({ policyName, policyDocument, setAsDefault: true }))
    },
  }
}
