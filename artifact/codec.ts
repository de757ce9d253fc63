import { constants, type ZstdOptions } from 'node:zlib'

/** Frames that need a larger window than 8 MiB are neither made nor accepted: it bounds a reader's memory (F17). */
const windowLogMax = 23

export const levelMin = 1
/** Levels above this want a larger window than readers accept. */
export const levelMax = 19

export const compressOptions = (level: number): ZstdOptions => ({ params: { [constants.ZSTD_c_compressionLevel]: level } })
export const decompressOptions: ZstdOptions = { params: { [constants.ZSTD_d_windowLogMax]: windowLogMax } }

/** Contents up to this size are compressed and decoded in one piece in memory; longer ones are streamed. */
export const inMemoryBytesMax = 256 * 1024
