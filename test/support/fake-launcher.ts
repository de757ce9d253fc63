import type { Files } from '../../edge-agent/host/host.ts'
import { installationPaths } from '../../edge-agent/installation/paths.ts'
import { pointAt, versionAt } from '../../edge-agent/installation/version-link.ts'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'

/** What a process is ended by when it asks its launcher to start it anew. */
export class Restarting extends Error {}

const startsMax = 3

/** What infra/agent/launcher does with the files of an installation, on a disk of a test's own. */
export class FakeLauncher {
  readonly directory = '/opt/murmur-agent'
  /** Versions that end, or are ended, before they have reported in. */
  readonly bad = new Set<string>()
  /** What the program of each version says. */
  readonly texts = new Map<string, string>()
  private readonly files: Files
  private readonly paths = installationPaths(this.directory)

  constructor(files: Files) {
    this.files = files
  }

  /** As the installer does it, before anything else is there. */
  async install(version: string): Promise<void> {
    await this.files.makeDirectory(`${this.paths.versions}/${version}/bin`)
    await this.files.write(`${this.paths.versions}/${version}/bin/node`, utf8('node'), 0o755)
    await this.files.write(`${this.paths.versions}/${version}/agent.mjs`, utf8(this.textOf(version)))
    await pointAt(this.files, this.paths.current, version)
  }

  /** Starts what is to run, as often as it takes; says which version then runs. Throws where none can be started. */
  async start(): Promise<string> {
    for (;;) {
      const { version, onTrial } = await this.choose()
      if (!(await this.isWhole(version))) throw new Error(`${version} is not whole`)
      if (!onTrial || !this.bad.has(version)) return version
    }
  }

  private textOf(version: string): string {
    return this.texts.get(version) ?? version
  }

  private async isWhole(version: string): Promise<boolean> {
    const path = `${this.paths.versions}/${version}`
    return (await this.files.facts(`${path}/bin/node`))?.mode === 0o755 && fromUtf8(await this.files.read(`${path}/agent.mjs`)) === this.textOf(version)
  }

  private async choose(): Promise<{ version: string; onTrial: boolean }> {
    const current = (await versionAt(this.files, this.paths.current))!
    const [version, trialS, starts] = (await this.files.facts(this.paths.trial)) === null ? [] : fromUtf8(await this.files.read(this.paths.trial)).trim().split(' ')
    if (version === undefined) return { version: current, onTrial: false }
    if (version === current) await this.files.remove(this.paths.trial)
    else if (Number(starts) < startsMax) {
      await this.files.writeDurable(this.paths.trial, utf8(`${version} ${trialS} ${Number(starts) + 1}\n`))
      return { version, onTrial: true }
    } else {
      await this.files.writeDurable(this.paths.verdict, utf8(`${version} agent-crashed it was started ${starts} times\n`))
      await this.files.remove(this.paths.trial)
    }
    return { version: current, onTrial: false }
  }
}
