import type { Sensors } from './sensors.ts'

/**
 * What the agent needs from the machine it runs on. Everything it does goes through here, so that the simulator can
 * take the power away between any two calls, and tests can give it a disk that is full.
 */
export type Host = {
  files: Files
  clock: Clock
  random: Random
  processes: Processes
  network: Network
  facts: Facts
  sensors: Sensors
  /** Absent where the agent was not started by its launcher: then it cannot replace itself. */
  installation?: Installation
}

export type FileKind = 'file' | 'directory' | 'link' | 'other'
export type FileFacts = { kind: FileKind; size: number; mode: number; uid: number; gid: number; mtimeMs: number }

/**
 * A disk. Paths are absolute. Nothing is durable before `sync` (or `writeDurable`) has returned; a rename replaces its
 * target in one step. Failures are FileError with the code the system gave (`ENOSPC`, `EIO`, `EROFS`, `ENOENT` …).
 */
export interface Files {
  read(path: string): Promise<Uint8Array>
  /** Reads at most `length` bytes from `offset`; fewer at the end of the file. */
  readRange(path: string, offset: number, length: number): Promise<Uint8Array>
  /** The whole file in pieces: for what may not fit into memory. */
  stream(path: string): AsyncIterable<Uint8Array>
  write(path: string, bytes: Uint8Array, mode?: number): Promise<void>
  /** Appends at the end, creating the file; `truncateTo` first cuts it to that length. */
  append(path: string, bytes: Uint8Array): Promise<void>
  truncate(path: string, length: number): Promise<void>
  /** temp file, fsync, rename, fsync of the directory: after it returns the new bytes survive a power cut, before it the old ones do. */
  writeDurable(path: string, bytes: Uint8Array, mode?: number): Promise<void>
  /** fsync of a file or a directory. */
  sync(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  link(existing: string, path: string): Promise<void>
  symlink(target: string, path: string): Promise<void>
  readlink(path: string): Promise<string>
  /** Creates missing parents too; no error when it exists. */
  makeDirectory(path: string): Promise<void>
  list(path: string): Promise<string[]>
  /** Removes a file, a link or a whole directory; no error when it is not there. Never follows links. */
  remove(path: string): Promise<void>
  /** Facts of the path itself (links are not followed), or null when it is not there. */
  facts(path: string): Promise<FileFacts | null>
  setMode(path: string, mode: number): Promise<void>
  setOwner(path: string, uid: number, gid: number): Promise<void>
  /** Bytes free for this agent on the file system that holds `path`. */
  freeBytes(path: string): Promise<number>
}

/** A failure of the disk, with the system's own code. */
export class FileError extends Error {
  readonly code: string
  readonly path: string
  constructor(code: string, path: string, cause?: unknown) {
    super(`${code}: ${path}`, { cause })
    this.name = 'FileError'
    this.code = code
    this.path = path
  }
}

export interface Clock {
  /** Wall clock, which may be wrong. */
  nowMs(): number
  /** Only ever grows while the process lives; its zero means nothing. */
  monotonicMs(): number
  /** Resolves after `spanMs`, or rejects with the signal's reason. */
  sleep(spanMs: number, signal?: AbortSignal): Promise<void>
}

export interface Random {
  bytes(length: number): Uint8Array
  /** In [0, 1). For jitter, never for secrets. */
  fraction(): number
}

export type ProcessRequest = {
  command: string
  args: readonly string[]
  /** Absent: `/`. */
  directory?: string
  /** The whole environment; nothing is inherited. */
  environment: Record<string, string>
  timeoutMs: number
  /** Bytes of standard output and error together that are kept; the rest is read and dropped. */
  outputBytesMax: number
  signal?: AbortSignal
}
/** `ended`: with an exit status or by a signal. `timed-out` and `cancelled`: its whole process group was killed. `not-started`: no such program, or not executable. */
export type ProcessResult = { how: 'ended' | 'timed-out' | 'cancelled' | 'not-started'; exitCode: number | null; output: string; outputBytes: number }

export interface Processes {
  /** Runs a program in a process group of its own and never throws for what it does. */
  run(request: ProcessRequest): Promise<ProcessResult>
}

export type HttpRequest = { method: string; url: string; headers: Record<string, string>; body?: Uint8Array; timeoutMs: number; signal?: AbortSignal }
/** `body` yields pieces as they come and ends with an error when the connection breaks. */
export type HttpResponse = { status: number; headers: Record<string, string>; body: AsyncIterable<Uint8Array> }
export type MqttWill = { topic: string; payload: Uint8Array }
/** A client certificate and its key, in PEM, and the authority that signs the broker's certificate where it is not a public one. */
export type MqttTls = { certificate: string; privateKey: string; authority: string | null }
export type MqttOptions = { url: string; clientId: string; username: string; password: string; keepAliveS: number; will: MqttWill; tls?: MqttTls }
export type MqttMessage = { topic: string; payload: Uint8Array; retained: boolean }
export interface MqttConnection {
  /** Resolves when the broker has acknowledged it (QoS 1). */
  publish(topic: string, payload: Uint8Array): Promise<void>
  subscribe(topics: readonly string[]): Promise<void>
  onMessage(handler: (message: MqttMessage) => void): void
  /** Called once, when the connection is gone for whatever reason. */
  onClose(handler: () => void): void
  close(): Promise<void>
}

export interface Network {
  http(request: HttpRequest): Promise<HttpResponse>
  /** One connection with MQTT 3.1.1 and a clean session; reconnecting is the link's business. */
  mqtt(options: MqttOptions): Promise<MqttConnection>
  /** Whether a TCP connection to this address comes up within the time. */
  tcpConnects(host: string, port: number, timeoutMs: number): Promise<boolean>
}

export interface Facts {
  architecture(): string
  /** Facts for the inventory: operating system, kernel, memory … */
  inventory(): Promise<Record<string, string>>
  /** Whether a time source says the wall clock is right; null when nothing on this host can tell. */
  clockSynchronised(): Promise<boolean | null>
}

/** How this agent is installed, and what this process of it has reached. Its files are on the disk like all others. */
export interface Installation {
  readonly directory: string
  /** The version that this process runs: the digest of its tree, and its directory's name. */
  readonly running: string
  /** How long a version on trial may take to report in. */
  readonly trialS: number
  /** The link's word that the broker acknowledged a hello, or the controller answered a signed request. */
  reached(part: ReachedPart): void
  /** Resolves once this process has reached both, or rejects with the signal's reason. */
  hasReportedIn(signal: AbortSignal): Promise<void>
  /** Ends this process, so that the launcher starts what is to run now. Never returns. */
  restart(): Promise<never>
}
export type ReachedPart = 'broker' | 'controller'
