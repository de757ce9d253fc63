/** Stands in for `readable-stream` in the bundle for Workers (`wrangler.toml` says why): the platform's own streams. */
export * from 'node:stream'
