"""The commands, and how each of them ends: with a sentence, and with an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import jax

import jreg
from jreg._base import interrupt
from jreg._base.files import check_folder
from jreg.cli.arguments import parse
from jreg.cli.data import show_data
from jreg.cli.doctor import doctor
from jreg.cli.merge import merge
from jreg.cli.output import abandon, prepare, say
from jreg.cli.predict import predict
from jreg.cli.report import report
from jreg.cli.resume import resume
from jreg.cli.studies import WORDS
from jreg.cli.sweep import sweep

COMMANDS = {
    "sweep": sweep,
    "resume": resume,
    "predict": predict,
    "report": report,
    "merge": merge,
    "data": show_data,
    "doctor": doctor,
}
# What a wrong argument, file or value raises; anything else is a fault of jreg's own and keeps its traceback.
_USER_ERRORS = (ValueError, TypeError, KeyError, OSError, MemoryError, FloatingPointError)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a mistake of the user's ends it with one sentence and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    prepare()
    interrupt.imported()
    try:
        if arguments == ["--version"]:
            say(f"jreg {jreg.__version__}")
            return
        _check_here()
        command = parse(COMMANDS, arguments)
        WORDS.set(arguments)
        jreg.use_cpu_devices()
        _keep_programs()
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # ty: ignore[invalid-assignment]  # it is typed as itself alone
            command()
    except BrokenPipeError:
        # Who read the output has seen enough; what is written into files has been written.
        abandon()
    except KeyboardInterrupt as error:
        say(f"jreg: interrupted{f'; {error}' if error.args else ''}", aside=True)
        raise SystemExit(128 + error.number if isinstance(error, interrupt.Terminated) else 130) from None
    except (*_USER_ERRORS, jax.errors.JaxRuntimeError) as error:
        if "--traceback" in arguments or (isinstance(error, jax.errors.JaxRuntimeError) and not _lacks_memory(error)):
            raise
        say(f"jreg: {_sentence(error)}", aside=True)
        raise SystemExit(2) from None


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one line; where it comes from says nothing to somebody who runs a command."""
    del category, filename, lineno, file, line
    say(f"jreg: {' '.join(str(message).split())}", aside=True)


def _check_here() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ValueError("the working directory has been deleted: change to one that exists") from None


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _sentence(error: Exception) -> str:
    """What a person reads of an error, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # str() of a KeyError is the repr of its sentence.
    text = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    if _lacks_memory(error) and (not text or "RESOURCE_EXHAUSTED" in text):
        return "there is not enough memory for this study: take fewer rows, settings or seeds, or a smaller network"
    return text or type(error).__name__


def _keep_programs() -> None:
    """Lets JAX keep compiled programs in the user's cache, so that the same study compiles nothing the next time."""
    if jax.config.jax_compilation_cache_dir is not None:  # ty: ignore[missing-attribute]  # set at run time
        return
    import pooch

    folder = pooch.os_cache("jreg") / "programs"
    try:
        check_folder(folder)
        # Where the home is no folder at all, its rights say nothing.
        folder.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX leaves out what compiles in less than a second; the small programs of a study count, too.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
