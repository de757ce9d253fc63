/**
 * The part of a disk that building and checking a tree needs; the agent's `Files` fulfils it. Paths are absolute,
 * nothing is durable before `sync`, and `facts` and `list` never follow links.
 */
export interface TreeFiles {
  stream(path: string): AsyncIterable<Uint8Array>
  write(path: string, bytes: Uint8Array, mode?: number): Promise<void>
  append(path: string, bytes: Uint8Array): Promise<void>
  sync(path: string): Promise<void>
  link(existing: string, path: string): Promise<void>
  symlink(target: string, path: string): Promise<void>
  readlink(path: string): Promise<string>
  makeDirectory(path: string): Promise<void>
  list(path: string): Promise<string[]>
  facts(path: string): Promise<{ kind: 'file' | 'directory' | 'link' | 'other'; size: number; mode: number; uid: number; gid: number } | null>
  setMode(path: string, mode: number): Promise<void>
  setOwner(path: string, uid: number, gid: number): Promise<void>
}
