"""Prints the scripts by which a shell completes our command lines.

The program is no command of its own: it is `python data_processor.py`. So the scripts take part in the completion of
`python`, look whether its first argument is our program, and leave everything else to what was there before.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from console.arguments import COMMON, SHELLS, TAKES, VALUES, Command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from messages import Messages

_PROPOSED: Final[Mapping[str, str]] = {
    "--date": "yesterday today",
    "--from": "yesterday today",
    "--to": "yesterday today",
    "--days": "7 14 30",
    "--freshness": "26h",
    "--language": "ru en",
    "--print-completion": " ".join(SHELLS),
}
"""Values that are worth proposing; those of `--export` are files."""

_BASH: Final = """\
# Completion of "python data_processor.py" in bash. Now: eval "$(python data_processor.py --print-completion bash)"
# For good: save this as a file and add to ~/.bashrc: source THE_FILE

for _data_processor_load in _comp_load _completion_loader; do
    declare -F $_data_processor_load >/dev/null && $_data_processor_load python 2>/dev/null
done
_data_processor_earlier=$(complete -p python 2>/dev/null | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
[ "$_data_processor_earlier" = _data_processor ] && _data_processor_earlier=

_data_processor() {
    local script=0 at word command= current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    for ((at = 0; at < COMP_CWORD; at++)); do
        [ "${COMP_WORDS[at]##*/}" = data_processor.py ] && { script=1; break; }
    done
    COMPREPLY=()
    if [ $script = 0 ]; then
        [ -n "$_data_processor_earlier" ] && "$_data_processor_earlier" "$@"
        return
    fi
    [ "$previous" = --export ] || compopt +o bashdefault +o default 2>/dev/null
    case $previous in
%(values)s
        --export) COMPREPLY=($(compgen -f -- "$current")); return ;;
    esac
    for word in "${COMP_WORDS[@]:at+1:COMP_CWORD-at-1}"; do
        case $word in %(alternatives)s) command=$word ;; esac
    done
    if [ -z "$command" ] && [[ $current != -* ]]; then
        COMPREPLY=($(compgen -W "%(commands)s" -- "$current"))
        return
    fi
    case ${command:-run} in
%(options)s
    esac
}

complete -o bashdefault -o default -F _data_processor python python3 data_processor.py
"""

_ZSH: Final = """\
# Completion of "python data_processor.py" in zsh. Now: eval "$(python data_processor.py --print-completion zsh)"
# For good: save this as a file and add to ~/.zshrc, below compinit: source THE_FILE

_data_processor() {
    local word command= at=${words[(I)(*/|)data_processor.py]}
    if (( at == 0 || at >= CURRENT )); then
        (( ${+functions[_python]} )) && _python || _files
        return
    fi
    case ${words[CURRENT-1]} in
%(values)s
        --export) _files; return ;;
    esac
    for word in ${words[at+1,CURRENT-1]}; do
        case $word in (%(alternatives)s) command=$word ;; esac
    done
    if [[ -z $command && $words[CURRENT] != -* ]]; then
        local -a commands=(%(described_commands)s)
        _describe command commands
        return
    fi
    local -a options
    case ${command:-run} in
%(options)s
    esac
    _describe -o option options
}

compdef _data_processor python python3 data_processor.py
"""

_FISH: Final = """\
# Completion of "python data_processor.py" in fish. Now: python data_processor.py --print-completion fish | source
# For good: python data_processor.py --print-completion fish > ~/.config/fish/conf.d/data_processor.fish

function __data_processor
    # Succeed where the command line is ours and its command is among the arguments; without any, where it has none.
    set -l words (commandline -opc)
    set -l at (string match -n -r '^(.*/)?data_processor\\.py$' -- $words | string split -f1 ' ')
    test -n "$at"; or return 1
    set -l command
    for word in $words
        contains -- $word %(commands)s; and set command $word
    end
    if test (count $argv) -eq 0
        test -z "$command"
    else
        test -n "$command"; or set command run
        contains -- $command $argv
    end
end

for python in python python3 data_processor.py
%(lines)s
end
"""


def script(shell: str, messages: Messages) -> str:
    """Return the script of a shell; where the shell shows words beside options, they are in the chosen language."""
    from console import manual

    helps = {command: manual.helps(command, messages) for command in Command}
    summaries = manual.summaries(messages)
    match shell:
        case "bash":
            return _bash()
        case "zsh":
            return _zsh(helps, summaries)
        case _:
            return _fish(helps, summaries)


def _options(command: Command) -> list[str]:
    return sorted((*TAKES[command], *COMMON))


def _bash() -> str:
    reply = 'COMPREPLY=($(compgen -W "{}" -- "$current"))'
    lines = [f"        {option}) {reply.format(words)}; return ;;" for option, words in _PROPOSED.items()]
    others = sorted(VALUES - _PROPOSED.keys() - {"--export"})
    lines.append(f"        {'|'.join(others)}) return ;;")
    cases = [f"        {command}) {reply.format(' '.join(_options(command)))} ;;" for command in Command]
    return _filled(_BASH, values=lines, options=cases)


def _zsh(helps: Mapping[Command, Mapping[str, str]], summaries: Mapping[Command, str]) -> str:
    lines = [f"        {option}) compadd {words}; return ;;" for option, words in _PROPOSED.items()]
    others = sorted(VALUES - _PROPOSED.keys() - {"--export"})
    lines.append(f"        {'|'.join(others)}) return ;;")
    cases = []
    for command in Command:
        described = " ".join(_described(option, helps[command][option]) for option in _options(command))
        cases.append(f"        {command}) options=({described}) ;;")
    commands = " ".join(_described(command.value, summaries[command]) for command in Command)
    return _filled(_ZSH, values=lines, options=cases, described_commands=[commands])


def _fish(helps: Mapping[Command, Mapping[str, str]], summaries: Mapping[Command, str]) -> str:
    begin = "    complete -c $python"
    lines = [f"{begin} -n __data_processor -f -a {each} -d {_quoted(summaries[each])}" for each in Command]
    for option in sorted({option for command in Command for option in _options(command)}):
        for words, commands in _by_words(option, helps).items():
            where = _quoted(" ".join(["__data_processor", *commands]))
            line = f"{begin} -n {where} -l {option[2:]} -d {_quoted(words)}"
            if option in _PROPOSED:
                line += f" -x -a {_quoted(_PROPOSED[option])}"
            elif option in VALUES:
                line += " -r" if option == "--export" else " -x"
            lines.append(line)
    return _filled(_FISH, lines=lines)


def _by_words(option: str, helps: Mapping[Command, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the commands that take an option, by what it does with them."""
    found: dict[str, list[str]] = {}
    for command in Command:
        if option in _options(command):
            found.setdefault(helps[command][option], []).append(command.value)
    return found


def _filled(outline: str, **parts: Sequence[str]) -> str:
    names = [command.value for command in Command]
    fields = {name: "\n".join(lines) for name, lines in parts.items()}
    return outline % {"commands": " ".join(names), "alternatives": "|".join(names), **fields}


def _described(word: str, told: str) -> str:
    """Return a word and its description as zsh's `_describe` takes them."""
    return shlex.quote(f"{word.replace(':', chr(92) + ':')}:{told}")


def _quoted(text: str) -> str:
    """Return a text in the quotes of fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
