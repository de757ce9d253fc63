import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { processIo } from '../../cli/io.ts'
import { runMurmur } from '../../cli/main.ts'
import { allFiles, root, textOf } from './sources.ts'

const papers = allFiles.filter((path) => path.endsWith('.md'))

/** `murmur` and each of its commands, by the words that name it, with the text of its help. */
const commands = new Map<string, string>()

const io = processIo()

async function learn(words: string): Promise<void> {
  let help = ''
  await runMurmur([...words.split(' ').filter((word) => word !== ''), '--help'], { ...io, out: (text) => void (help += text), terminal: () => null })
  commands.set(words, help)
  const listed = /^Commands:\n([\s\S]*)/m.exec(help)?.[1] ?? ''
  for (const [, names = ''] of listed.matchAll(/^ {2}([a-z][a-z|-]*)/gm)) {
    for (const name of names.split('|').filter((each) => each !== 'help' || words === '')) await learn(`${words} ${name}`.trim())
  }
}
beforeAll(() => learn(''))

type CommandLine = { line: string; words: string[]; options: string[] }

/** Where a shell begins a command; elsewhere `murmur` is a user or a directory. */
const commandLine = /(?:^|\bnpx |&& |; |\| |\$\(|bin\/|\b[A-Z_]+=\S* )[ ]*murmur[ ]+([^\n#|;&()]+)/gm

/** What a paper has people type after `murmur`, in blocks and in code within a sentence. */
function commandLinesIn(path: string): CommandLine[] {
  const code = [...textOf(path).matchAll(/^```[^\n]*\n([\s\S]*?)^```|`([^`\n]+)`/gm)].map(([, block, inline]) => (block ?? inline ?? '').replaceAll('\\\n', ' '))
  return code.flatMap((text) => [...text.matchAll(commandLine)].map(([, rest = '']) => {
    const all = rest.trim().split(/\s+/)
    const end = all.findIndex((word) => !/^[a-z][a-z-]*$/.test(word))
    return { line: `murmur ${rest.trim()}`, words: end < 0 ? all : all.slice(0, end), options: all.filter((word) => /^--[a-z]/.test(word)).map((word) => word.replace(/=.*/, '')) }
  }))
}

/** The longest beginning of the words that is a command; what follows are its arguments. */
function commandOf(words: readonly string[]): string {
  let found = ''
  for (const word of words) {
    const next = `${found} ${word}`.trim()
    if (!commands.has(next)) break
    found = next
  }
  return found
}

function faultOf({ line, words, options }: CommandLine): string | null {
  const command = commandOf(words)
  const help = commands.get(command)!
  const rest = words.slice(command === '' ? 0 : command.split(' ').length)
  // a command that only holds others takes no arguments of its own
  if (rest.length > 0 && /^Commands:/m.test(help)) return `${line}: there is no command ${rest[0]!}`
  const below = [...commands].filter(([name]) => name.startsWith(`${command} `)).map(([, text]) => text)
  const unknown = options.filter((option) => ![help, ...below].some((text) => new RegExp(`${option}(?![a-z-])`).test(text)))
  return unknown.length === 0 ? null : `${line}: there is no ${unknown.join(', ')}`
}

test.each(papers)('every command and option of murmur that %s names is there', (path) => {
  expect(commandLinesIn(path).map(faultOf).filter((fault) => fault !== null)).toEqual([])
})

test('a command and an option that are not there would be found', () => {
  const found = ['site gett north', 'site list --colour'].map((text) => faultOf({ line: text, words: text.split(' ').filter((word) => !word.startsWith('-')), options: text.split(' ').filter((word) => word.startsWith('--')) }))
  expect(found).toEqual(['site gett north: there is no command gett', 'site list --colour: there is no --colour'])
})

test.each(papers)('every program that %s starts through the launcher is there', (path) => {
  const programs = [...textOf(path).matchAll(/infra\/launch\.mjs (?!some\/)([\w./-]+\.ts)/g)].map(([, program = '']) => program)
  expect(programs.filter((program) => !existsSync(join(root, program)))).toEqual([])
})

const settingNames = (text: string): string[] => text.match(/\bMURMUR_[A-Z0-9_]*[A-Z0-9]\b(?!_)/g) ?? []
const settingsRead = new Set(allFiles.filter((path) => /\.(ts|mjs|sh|service|env)$|launcher$/.test(path) && !path.startsWith('test/')).flatMap((path) => settingNames(textOf(path))))

test.each(papers)('every setting that %s names is read somewhere', (path) => {
  expect(settingNames(textOf(path)).filter((name) => !settingsRead.has(name))).toEqual([])
})

/** What a heading is called in an address, as the usual viewers make it. */
const anchorsOf = (path: string): string[] =>
  textOf(path).replace(/^```[\s\S]*?^```/gm, '').split('\n').filter((line) => /^#+ /.test(line)).map((line) => line.replace(/^#+ /, '').trim().toLowerCase().replace(/[^\p{L}\p{N}\- _]/gu, '').replaceAll(' ', '-'))

test.each(papers)('every heading that %s links to is there', (path) => {
  const links = [...textOf(path).matchAll(/\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)/g)].map(([, file = '', anchor = '']) => ({ file: file === '' ? path : normalize(join(dirname(path), file)), anchor }))
  expect(links.filter(({ file, anchor }) => !papers.includes(file) || !anchorsOf(file).includes(anchor))).toEqual([])
})
