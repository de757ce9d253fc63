import type { ReleaseRow } from '../../db/schema/release.ts'
import { at, atOrNull } from '../../protocol/http/contract.ts'
import type { ReleaseView } from '../../protocol/http/releases.ts'
import type { Digest, ReleaseId } from '../../protocol/ids.ts'

export const viewRelease = (row: ReleaseRow): ReleaseView => ({
  id: row.id as ReleaseId, digest: row.digest as Digest, kind: row.manifest.kind, state: row.state, detail: row.detail,
  description: row.manifest.description, activation: row.manifest.activation,
  components: row.manifest.components.map(({ name, version, config, tree }) => ({ name, version, driver: config.driver, sizeBytes: tree.size, files: tree.files })),
  publisherKey: row.publisherKey, contentBytes: row.contentBytes, storedBytes: row.storedBytes, objects: row.objects, objectsConfirmed: row.objectsConfirmed,
  createdAt: at(row.createdMs), availableAt: atOrNull(row.availableMs), version: row.version,
})
