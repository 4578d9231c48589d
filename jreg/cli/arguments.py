"""Reading the arguments of a command: each mistake is a sentence that names the option that was meant."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import os
import re
import typing
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import tyro

from jreg.cli import completion
from jreg.cli.output import say
from jreg.cli.ray import with_address

# What is written for an option although it is something else, by command.
_ELSEWHERE = {
    "recipe": "the recipe file has no option, it stands by itself: jreg {command} RECIPE.py",
    "run": "the study's folder has no option, it stands by itself: jreg {command} RUN",
    "space": "the recipe file defines the space",
    "categories": "columns of categories are --categorical",
    "name": "the data's name has no option, it stands by itself: jreg data NAME",
    "stopping": "early stopping is --patience",
    "random-state": "the seed is --seed",
}
# Named as those of other programs with tyro, which write what a shell completes options by.
_COMPLETION = ("--tyro-print-completion", "--tyro-write-completion")
# Options in groups have no group in their names.
_CONFIG = (tyro.conf.OmitArgPrefixes,)
# After the help of a command.
_EXAMPLES = {
    "sweep": """examples:
  jreg sweep wine                                   a data set that is there
  jreg sweep sales.csv --target price               a table
  jreg sweep visits.csv --target ill --groups patient --drop visit_id --missing keep
  jreg sweep export.csv --delimiter ';' --decimal ,
  jreg sweep --recipe-template --data wine > my_recipe.py
  jreg sweep my_recipe.py --data wine --seeds 3 --time-limit 2h
  jreg sweep wine --nested 5                        an honest estimate of the whole procedure
  jreg sweep my_recipe.py --ray auto                on the workers of a Ray cluster
  jreg sweep my_recipe.py --shard auto/16           one of 16 tasks of a job array; then jreg merge""",
    "predict": """examples:
  jreg predict runs/wine new.csv
  jreg predict runs/wine new.csv --unseen zeros --out predictions.csv""",
    "merge": """examples:
  jreg merge runs/wine/shard-* --out runs/wine/all
  jreg merge runs/monday runs/tuesday --out runs/both""",
    "data": """examples:
  jreg data digits --shape 8 8
  jreg data sales.csv --target price --drop id""",
}


def parse(commands: Mapping[str, Callable[..., None]], arguments: Sequence[str]) -> Callable[[], None]:
    """The call that the arguments ask for.

    Raises:
      ValueError: they can't be understood.
      SystemExit: they asked for help, which has been printed.
    """
    *others, last = commands
    known = f"{', '.join(others)} or {last}"
    if not arguments:
        raise ValueError(f"a command is missing: jreg {known} (see jreg --help)")
    command, *rest = arguments
    if command in _COMPLETION:
        _complete(commands, arguments)
    if command in ("-h", "--help"):
        text = "Which regularization, how strong, and how sure?"
        with _as_asked():
            tyro.extras.subcommand_cli_from_dict(
                dict(commands), prog="jreg", description=text, args=["--help"], config=_CONFIG
            )
    if command.startswith("-"):
        raise ValueError(f"a command comes before {command}: jreg {known} (see jreg --help)")
    if command not in commands:
        near = difflib.get_close_matches(command, (*commands, "--help", "--version"), n=1)
        named = any(argument.partition("=")[0] == "--data" for argument in rest) and not command.endswith(".py")
        known = "sweep" if named else f"sweep {command}"
        remedy = f"did you mean jreg {near[0] if near else known}"
        raise ValueError(f"jreg has no command {command!r}: {remedy} (see jreg --help)?")
    _check_options(command, commands[command], rest)
    return _bound(command, commands[command], rest)


@contextlib.contextmanager
def _as_asked() -> Generator[None]:
    """Without colours where NO_COLOR asks for it, which tyro knows nothing of; what is no terminal gets none."""
    if not os.environ.get("NO_COLOR"):
        yield
        return
    plain = io.StringIO()
    try:
        with contextlib.redirect_stdout(plain):
            yield
    finally:
        if text := plain.getvalue():
            say(text.removesuffix("\n"))


def _complete(commands: Mapping[str, Callable[..., None]], given: Sequence[str]) -> NoReturn:
    """Prints or writes the script by which a shell completes.

    Raises:
      ValueError: it is asked for in another way.
      OSError: it can't be written.
      SystemExit: it has been written.
    """
    option, *rest = given
    writes = option == "--tyro-write-completion"
    if len(rest) != 1 + writes or rest[0] not in completion.SHELLS:
        raise ValueError(
            f"{option} takes {' or '.join(completion.SHELLS)}{' and a file' if writes else ''}: jreg "
            "--tyro-write-completion bash ~/.local/share/bash-completion/completions/jreg"
        )
    text = completion.script(commands, rest[0], _CONFIG)
    if writes:
        path = Path(rest[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")
    else:
        say(text)
    raise SystemExit(0)


def options_of(function: Callable[..., None]) -> dict[str, str]:
    """The options of a command and their other names, each with the option itself, without the leading dashes."""
    hints = typing.get_type_hints(function, include_extras=True)
    found = {"help": "help"}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = typing.get_args(hints[name])[:1]
        if kind and dataclasses.is_dataclass(kind[0]):
            found |= _named(typing.get_type_hints(kind[0], include_extras=True))
        elif parameter.kind is parameter.KEYWORD_ONLY:
            found |= _named({name: hints[name]})
    return found


def _named(hints: Mapping[str, Any]) -> dict[str, str]:
    """The options of these types by their names and other names."""
    found: dict[str, str] = {}
    for name, hint in hints.items():
        option = name.replace("_", "-")
        others = [
            alias.removeprefix("--")
            for mark in getattr(hint, "__metadata__", ())
            for alias in getattr(mark, "aliases", None) or ()
        ]
        found |= dict.fromkeys([option, *others], option)
    return found


def _check_options(command: str, function: Callable[..., None], rest: Sequence[str]) -> None:
    options = options_of(function)
    for argument in rest:
        name = argument.partition("=")[0].removeprefix("--").replace("_", "-")
        if not argument.startswith("--") or name in options:
            continue
        near = difflib.get_close_matches(name, options, n=1)
        where = "resume RUN" if command == "resume" and name == "recipe" else command
        every = ", ".join(f"--{option}" for option in dict.fromkeys(options.values()))
        remedy = _ELSEWHERE.get(name, "").replace("{command}", where) or (
            f"did you mean --{near[0]}" if near else f"it has {every}"
        )
        end = "?" if remedy.startswith("did") else ""
        raise ValueError(f"jreg {command} has no option --{name}: {remedy} (see jreg {command} --help){end}")


def _bound(command: str, function: Callable[..., None], rest: Sequence[str]) -> Callable[[], None]:
    """The function with its arguments, which tyro reads."""

    @functools.wraps(function)
    def bound(*args: Any, **options: Any) -> Any:
        return functools.partial(function, *args, **options)

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), _as_asked():
            return tyro.cli(bound, prog=f"jreg {command}", args=with_address(rest), config=_CONFIG)
    except SystemExit as ended:
        if ended.code in (0, None):
            if command in _EXAMPLES:
                say(_EXAMPLES[command])
            raise
        raise ValueError(f"{_sentence(complaint.getvalue())} (see jreg {command} --help)") from None


def _sentence(box: str) -> str:
    r"""What tyro says in its box below the title, up to the next rule, in one line.

    A terminal's box has its title in the frame; elsewhere it is the first paragraph.

    >>> _sentence("╭─ Value error ─╮\n│ no int: 'x' │\n│ ─── │\n│ see help │\n╰─╯")
    "no int: 'x'"
    >>> _sentence(" Value error \n ----- \n no int: 'x' \n ----- \n see help ")
    "no int: 'x'"
    """
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip(" │") for line in box.splitlines()]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line and set(line) <= set("─-"):
            paragraphs.append([])
        elif line and line[0] not in "╭╰":
            paragraphs[-1].append(line)
    framed = any(line.startswith("╭") for line in lines)
    found = [paragraph for paragraph in paragraphs if paragraph]
    return " ".join(found[0 if framed or len(found) == 1 else 1]).rstrip(".")
