/** Stands in for `readable-stream` in the bundle for Workers: the platform's own streams (`wrangler.toml` says why). */
export { Duplex, Readable, Transform, Writable } from 'node:stream'
