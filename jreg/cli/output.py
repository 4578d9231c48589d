"""What the command line writes: to any terminal, to none, and without what a terminal would obey."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any, TextIO

from jreg._base.names import printable

# What the tables and the help are drawn with, for encodings that lack it.
_PLAIN = str.maketrans("─━│╭╮╰╯•", "--|++++*", "") | {ord("…"): "...", ord("±"): "+-"}


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replaces what an encoding lacks, as `codecs.register_error` asks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end].translate(_PLAIN)
    return part.encode("ascii", "backslashreplace").decode("ascii"), error.end


def prepare() -> None:
    """Lets both streams take any text, whatever their encoding."""
    # Where a standard stream is closed, the next file that is opened would get its number, and with it whatever XLA or
    # a signal's handler writes to standard error.
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)
    codecs.register_error("jreg.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        # None where it is closed; a test's or a notebook's stream may be of another kind.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="jreg.plain")


def say(text: str, *, aside: bool = False) -> None:
    """Writes text to standard output, or `aside` to standard error.

    Raises:
      OSError: standard output takes no more text, such as BrokenPipeError when its reader has ended.
    """
    stream: TextIO | None = sys.stderr if aside else sys.stdout
    if stream is None:
        return
    try:
        print(printable(text, lines=True), file=stream, flush=True)
    except ValueError:  # it was closed
        return
    except OSError:
        if not aside:
            raise


def say_json(found: dict[str, Any]) -> None:
    """Writes an object to standard output, in one line."""
    say(json.dumps(found, allow_nan=False))


def command(*words: Any) -> str:
    """A command as a person may paste it into a shell.

    >>> command("resume", "runs/my wine", None)
    "jreg resume 'runs/my wine'"
    """
    return shlex.join(["jreg", *(str(word) for word in words if word is not None)])


def next_steps(folder: Path, recipe: Path | None, suffix: str, predicts: bool = True, goes_on: bool = True) -> str:
    """What may be done with a study that has ended, as commands; only a final network predicts.

    >>> print(next_steps(Path("runs/wine"), None, ".csv"))
    predict:  jreg predict runs/wine NEW.csv --out predictions.csv
    go on:    jreg resume runs/wine
    """
    new = "NEW.csv" if suffix.lower() in (".csv", ".tsv") else "NEW.npz"
    steps = {"predict:": command("predict", folder, new, "--out", "predictions.csv")} if predicts else {}
    steps |= {"go on:": command("resume", folder, recipe)} if goes_on else {}
    return "\n".join(f"{what:<10}{how}" for what, how in steps.items())


def abandon() -> None:
    """Turns standard output to nowhere, so that Python's last flush of it raises nothing."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
