"""Scripts by which shells complete commands, options and their values."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import tyro

from jreg.data.load import BUILT_IN

SHELLS = ("bash", "zsh", "fish")
# The commands whose first argument may be the name of data.
_OF_DATA = ("sweep", "data")
# What stands for the name of a file or a folder in the help.
_FILES = re.compile(r"^(FILE|FOLDER|DATA|RECIPE|RUN)")
_MOST = 60


class _Option(NamedTuple):
    """An option of a command.

    Attributes:
      name: with its dashes.
      words: what it is for, in short.
      takes: "nothing", "values", "files" or "anything".
      values: that it may have.
    """

    name: str
    words: str
    takes: str
    values: tuple[str, ...]


def script(commands: Mapping[str, Callable[..., None]], shell: str, config: Any) -> str:
    """The script for a shell; it is read once, and starts no Python when somebody presses Tab."""
    known = {name: list(_options(found)) for name, found in _asked(commands, config).items()}
    helps = {name: _short((function.__doc__ or "").strip().splitlines()[0]) for name, function in commands.items()}
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]({name: known[name] for name in commands}, helps)


def _asked(commands: Mapping[str, Callable[..., None]], config: Any) -> dict[str, Any]:
    """What tyro knows of the commands: it has that in the scripts of its own, as a literal."""
    text = io.StringIO()
    given = ["--tyro-print-completion", "bash"]
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(dict(commands), prog="jreg", args=given, config=config)
    start = "COMPLETION_SPEC = "
    literal = next(line for line in text.getvalue().splitlines() if line.startswith(start))
    return ast.literal_eval(literal.removeprefix(start))["subcommands"]


def _options(found: Mapping[str, Any]) -> Iterable[_Option]:
    for option in found["options"]:
        sign, dot, words = str(option["description"]).partition(" • ")
        words = words if dot else sign
        # In an order of their own, since tyro has them as a set.
        values = tuple(sorted(set(option.get("choices", ())) - {"None"}))
        takes = "values" if values else "files" if dot and _FILES.match(sign) else "anything"
        for name in option["flags"]:
            if name.startswith("--"):
                yield _Option(name, _short(words), "nothing" if option["type"] == "flag" else takes, values)


def _short(text: str) -> str:
    """The beginning of a help text, without signs that mean something to a shell where it stands in single quotes."""
    first = re.split(r"[;:.(]( |$)", " ".join(text.split()))[0]
    plain = re.sub(r"(?<!\w)'|'(?!\w)", '"', first)
    plain = re.sub(r"[^\w ,./<>=+;\"-]", "", plain).strip(" ,")
    return plain if len(plain) <= _MOST else f"{plain[:_MOST].rpartition(' ')[0].rstrip(',')} ..."


def _bash(known: Mapping[str, list[_Option]], helps: Mapping[str, str]) -> str:
    def answer(values: Iterable[str]) -> str:
        return f"COMPREPLY=($(compgen -W '{' '.join(values)}' -- \"$cur\"))"

    def names(options: list[_Option], takes: str) -> str:
        return "|".join(option.name for option in options if option.takes == takes)

    lines = []
    for command, options in known.items():
        lines += [f"    {command})", "      case $prev in"]
        lines += [f"        {o.name}) {answer(o.values)}; return ;;" for o in options if o.takes == "values"]
        # Without an answer bash completes files, unless it is told not to.
        lines += [f"        {free}) $nothing; return ;;"] if (free := names(options, "anything")) else []
        lines += [f"        {files}) return ;;"] if (files := names(options, "files")) else []
        lines += ["      esac", f"      [[ $cur == -* ]] && {answer(o.name for o in options)} && return"]
        if command in _OF_DATA:
            both = f'compgen -W \'{" ".join(BUILT_IN)}\' -- "$cur"; compgen -f -- "$cur"'
            lines.append(f"      mapfile -t COMPREPLY < <({both}); $paths")
        lines.append("      ;;")
    return "\n".join(
        [
            "# bash completion of jreg",
            "_jreg() {",
            "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}",
            '  local nothing="compopt +o default +o bashdefault" paths="compopt -o filenames"',
            "  COMPREPLY=()",
            f"  if (( COMP_CWORD == 1 )); then $nothing; {answer([*helps, '--help', '--version'])}; return; fi",
            "  case ${COMP_WORDS[1]} in",
            *lines,
            "  esac",
            "}",
            "complete -o bashdefault -o default -F _jreg jreg",
        ]
    )


def _zsh(known: Mapping[str, list[_Option]], helps: Mapping[str, str]) -> str:
    def action(option: _Option) -> str:
        if option.takes == "nothing":
            return ""
        does = {"values": f"({' '.join(option.values)})", "files": "_files", "anything": " "}[option.takes]
        return f":{option.name.removeprefix('--')}:{does}"

    lines = []
    for command, options in known.items():
        rest = "_jreg_data" if command in _OF_DATA else "_files"
        given = [f"'{o.name}[{o.words}]{action(o)}'" for o in options]
        lines += [f"    {command})", "      _arguments -s \\"]
        lines += [f"        {one} \\" for one in given]
        lines += [f"        '*:file:{rest}'", "      ;;"]
    return "\n".join(
        [
            "#compdef jreg",
            "_jreg_data() {",
            f"  _alternative 'names:data:({' '.join(BUILT_IN)})' 'files:file:_files'",
            "}",
            "_jreg() {",
            "  local -a commands=(",
            *(f"    '{name}:{words}'" for name, words in helps.items()),
            "  )",
            "  if (( CURRENT == 2 )); then",
            "    _describe -t commands command commands",
            "    return",
            "  fi",
            "  local command=$words[2]",
            "  shift words",
            "  (( CURRENT-- ))",
            "  case $command in",
            *lines,
            "  esac",
            "}",
            # A function of this name is autoloaded from $fpath; otherwise the file was read.
            'if [[ $funcstack[1] == _jreg ]]; then _jreg "$@"; else compdef _jreg jreg; fi',
        ]
    )


def _fish(known: Mapping[str, list[_Option]], helps: Mapping[str, str]) -> str:
    lines = ["# fish completion of jreg", "complete -c jreg -n __fish_use_subcommand -f"]
    lines += [f"complete -c jreg -n __fish_use_subcommand -a {n} -d '{words}'" for n, words in helps.items()]
    for command, options in known.items():
        seen = f"complete -c jreg -n '__fish_seen_subcommand_from {command}'"
        for option in options:
            values = f" -x -a '{' '.join(option.values)}'"
            takes = {"nothing": "", "values": values, "files": " -r -F", "anything": " -x"}[option.takes]
            lines.append(f"{seen} -l {option.name.removeprefix('--')}{takes} -d '{option.words}'")
        if command in _OF_DATA:
            lines.append(f"{seen} -a '{' '.join(BUILT_IN)}' -d data")
    return "\n".join(lines)
