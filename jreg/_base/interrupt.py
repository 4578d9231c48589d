"""Ctrl-C and the signals that end a process: what they have to wait for, and what may be given up at once.

Importing this module lets Ctrl-C end the command line's own process with a line instead of a traceback through JAX
while it imports, since `jreg` is imported before its command line can do anything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import Any

# What Python was started with: the installed command, or ``python -m jreg``.
_IS_COMMAND = Path(sys.argv[0] if sys.argv else "").stem == "jreg" or " -m jreg " in f"{' '.join(sys.orig_argv)} "
# Ctrl-C, the end that a cluster's scheduler asks for, and a terminal that is closed.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C has asked this process to end.

    Attributes:
      number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def _quit(number: int, frame: FrameType | None) -> None:
    del number, frame
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, b"jreg: interrupted; nothing had been begun\n")
    os._exit(130)


class _Ending:
    """What the command line does with signals: the first is raised, and another one ends the process at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.again(number, frame)
        self.asked = True
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def again(self, number: int, frame: FrameType | None) -> None:
        """Ends the process; what a store has begun to write, whoever opens it next takes back."""
        del frame
        with contextlib.suppress(OSError):
            os.write(2, b"jreg: ended at once\n")
        os._exit(128 + number)


def imported() -> None:
    """Has Ctrl-C raise KeyboardInterrupt and the others `Terminated`, which the command line handles.

    For the command line: a library leaves signals alone.
    """
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if _IS_COMMAND and threading.current_thread() is threading.main_thread():
        ending = _Ending()
        for number in _SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, ending)


class _Held:
    """Signals that wait."""

    def __init__(self) -> None:
        self.handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self.waiting: list[int] = []

    def note(self, number: int, frame: FrameType | None) -> None:
        if self.waiting:
            # Whoever asks twice doesn't want to wait.
            self.waiting.clear()
            handler = self.handlers[number]
            getattr(handler, "again", handler)(number, frame)
        self.waiting.append(number)

    def fire(self) -> None:
        if self.waiting:
            number = self.waiting.pop()
            self.waiting.clear()
            self.handlers[number](number, None)


_held: list[_Held] = []


@contextlib.contextmanager
def held() -> Generator[None]:
    """Lets signals that Python handles wait until `check` or the end; a second one doesn't wait.

    Elsewhere than in the main thread, where Python handles no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or _held:
        yield
        return
    own = _Held()
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            own.handlers[number] = handler
            signal.signal(number, own.note)
    _held.append(own)
    try:
        yield
    finally:
        _held.remove(own)
        for number, handler in own.handlers.items():
            signal.signal(number, handler)
    own.fire()


def check() -> None:
    """Handles the signals that wait."""
    if _held and threading.current_thread() is threading.main_thread():
        _held[0].fire()


@contextlib.contextmanager
def allowed() -> Generator[None]:
    """Inside `held`, where signals needn't wait, such as while a program is compiled."""
    if not _held or threading.current_thread() is not threading.main_thread():
        yield
        return
    own = _held[0]
    own.fire()
    for number, handler in own.handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in own.handlers:
            signal.signal(number, own.note)


if (
    _IS_COMMAND
    and threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _quit)
