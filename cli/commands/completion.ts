import { Argument, type Command } from 'commander'
import type { AddCommands } from '../session.ts'

/** What may follow after some words of a command line. */
type Completion = { path: string; words: string[] }

/** Every command of the program with the words that may come next: its own commands, its options and the global ones. */
function completionsOf(program: Command): Completion[] {
  const global = longOptions(program)
  const walk = (command: Command, path: string[]): Completion[] => [
    { path: path.join(' '), words: [...command.commands.map((sub) => sub.name()), ...new Set([...longOptions(command), ...global, '--help'])] },
    ...command.commands.flatMap((sub) => walk(sub, [...path, sub.name()])),
  ]
  return walk(program, [])
}

const longOptions = (command: Command): string[] => command.options.flatMap((option) => (option.long === undefined || option.hidden ? [] : [option.long]))

const cases = (completions: readonly Completion[], indent: string): string => completions.map(({ path, words }) => `${indent}'${path}') list='${words.join(' ')}' ;;\n`).join('')

/** The words after the longest known beginning of what was typed; `list` and `path` are the shell's variables. */
const lookUp = (completions: readonly Completion[]): string => `  while :; do
    case "$path" in
${cases(completions, '      ')}    esac
    [ -n "$list" ] && break
    case "$path" in *' '*) path="\${path% *}" ;; *) path='' ;; esac
  done
`

const scripts: Record<string, (completions: readonly Completion[]) => string> = {
  bash: (completions) => `_murmur() {
  local word path='' list=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
${lookUp(completions)}  COMPREPLY=($(compgen -W "$list" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _murmur murmur
`,
  zsh: (completions) => `#compdef murmur
_murmur() {
  local word at='' list=''
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$word" in -*) ;; *) at="\${at:+$at }$word" ;; esac
  done
${lookUp(completions).replaceAll('path', 'at')}  compadd -- \${=list}
}
compdef _murmur murmur
`,
  fish: (completions) => `complete -c murmur -f
function __murmur_at
  set -l words
  for word in (commandline -opc)[2..]
    string match -q -- '-*' $word; or set -a words $word
  end
  test "$words" = "$argv"
end
${completions.map(({ path, words }) => `complete -c murmur -n '__murmur_at ${path}' -a '${words.join(' ')}'\n`).join('')}`,
}

export const addCompletionCommand: AddCommands = (program, act) => {
  program.command('completion').description('a script that completes commands: eval "$(murmur completion bash)"')
    .addArgument(new Argument('<shell>', 'for which shell').choices(Object.keys(scripts)))
    .action(act(async ({ io }, [shell]) => io.out(scripts[shell!]!(completionsOf(program)))))
}
