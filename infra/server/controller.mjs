/**
 * The controller of a server's bundle: runs program.cjs beside it, with the code that V8 made of it when the bundle was made (`./keep-code.ts`), so that a
 * start compiles next to nothing. Where that code does not fit, under another Node or with V8's own flags, V8 refuses it and compiles as ever.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Script } from 'node:vm'
import { crc32 } from 'node:zlib'

const file = `${import.meta.dirname}/program.cjs`
const source = readFileSync(file)

/** V8 compares lengths only, so the name says which text the code is of. */
export const codeFile = `${import.meta.dirname}/program-${crc32(source).toString(16)}.code`
// esbuild writes ASCII: as Latin-1 it is one byte a character in memory too
export const script = new Script(`(function (require, module, __dirname) {${source.latin1Slice()}\n})`, { filename: file, cachedData: existsSync(codeFile) ? readFileSync(codeFile) : undefined })

script.runInThisContext()(createRequire(file), { exports: {} }, import.meta.dirname)
