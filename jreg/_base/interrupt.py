"""Ctrl-C while the command line's own process imports: a line instead of a traceback through JAX.

Importing this module does it, since `jreg` is imported before its command line can do anything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

# What Python was started with: the installed command, or ``python -m jreg``.
_IS_COMMAND = Path(sys.argv[0] if sys.argv else "").stem == "jreg" or " -m jreg " in f"{' '.join(sys.orig_argv)} "


def _quit(number: int, frame: FrameType | None) -> None:
    del number, frame
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, b"jreg: interrupted; nothing had been begun\n")
    os._exit(130)


def imported() -> None:
    """Gives Ctrl-C back to Python, whose KeyboardInterrupt the command line handles."""
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if (
    _IS_COMMAND
    and threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _quit)
