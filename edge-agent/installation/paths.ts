/** Where everything of an installed agent is; its launcher knows the same names (infra/agent/launcher). */
export const installationPaths = (directory: string) => ({
  /** One directory per version, named by the digest of its tree. */
  versions: `${directory}/versions`,
  /** Symbolic links to versions: the one that is known to work, and the one before it. */
  current: `${directory}/current`,
  previous: `${directory}/previous`,
  /** The version that is to prove itself, and what became of the last that did not. */
  trial: `${directory}/trial`,
  verdict: `${directory}/verdict`,
  /** The version that the site's release brought; absent where an installer did. */
  managed: `${directory}/managed`,
})
export type InstallationPaths = ReturnType<typeof installationPaths>
