import { join } from 'node:path'
import { build, type BuildOptions } from 'esbuild'

/** Bundles programs for the Node that is shipped with them, from the repository's sources. Returns the packages that are in it, as directories of node_modules. */
export async function bundle(what: BuildOptions): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: join(import.meta.dirname, '../..'), bundle: true, platform: 'node', format: 'esm', target: 'node24', minifyWhitespace: true, minifySyntax: true, legalComments: 'none', logLevel: 'error',
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` }, ...what, metafile: true,
  })
  const packages = Object.keys(metafile!.inputs).flatMap((path) => /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
  return [...new Set(packages)].sort()
}
