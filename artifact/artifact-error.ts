/**
 * What can be wrong with bytes or trees. `too-long`, `digest-mismatch` and `corrupt` are about received bytes and are
 * worth another fetch; the others will not go away by trying again.
 */
export type ArtifactFault = 'unsupported-entry' | 'invalid-tree' | 'changed-meanwhile' | 'too-large' | 'too-long' | 'digest-mismatch' | 'corrupt' | 'not-fresh'

/** A tree, or bytes of one, that cannot be used. `element` is the path or the content digest it is about. */
export class ArtifactError extends Error {
  readonly reason: ArtifactFault
  readonly element: string

  constructor(reason: ArtifactFault, element: string, detail: string, cause?: unknown) {
    super(`${element}: ${detail}`, { cause })
    this.name = 'ArtifactError'
    this.reason = reason
    this.element = element
  }
}
