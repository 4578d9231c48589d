"""Showing how far a study is: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, TextIO


class Progress(NamedTuple):
    """Where a study stands; numbers on the host.

    Attributes:
      done: trainings that have ended.
      total: trainings of the study.
      best: the best mean score among settings that are finished, or None.
      score: what `best` is the mean of.
      seconds: since the first training began.
      seconds_left: estimated, or None before the first training has ended.
      compiling: for how many trainings a program is being compiled; 0 while they run.
    """

    done: int
    total: int
    best: float | None
    score: str
    seconds: float
    seconds_left: float | None
    compiling: int = 0


def describe(progress: Progress) -> str:
    """Progress in a line of text.

    >>> describe(Progress(30, 60, 0.975, "val_accuracy", 3.0, 3.0))
    '30/60 trainings, best val_accuracy 0.9750, 3 s left'
    """
    if progress.compiling:
        return f"compiling one program for {progress.compiling} trainings"
    best = "" if progress.best is None else f", best {progress.score} {progress.best:.4f}"
    left = "" if progress.seconds_left is None else f", {_duration(progress.seconds_left)} left"
    if progress.done == progress.total:
        left = f", took {_duration(progress.seconds)}"
    return f"{progress.done}/{progress.total} trainings{best}{left}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


class Display:
    r"""Shows progress on a stream: one line that renews itself in a terminal, else a line every few seconds.

    >>> import io
    >>> log = io.StringIO()
    >>> with Display(log) as show:
    ...     show(Progress(60, 60, 0.975, "val_accuracy", 3.0, 0.0))
    >>> log.getvalue()
    '60/60 trainings, best val_accuracy 0.9750, took 3 s\n'
    """

    def __init__(self, stream: TextIO | None = None, every: float = 5.0):
        self._stream = stream or sys.stderr
        self._every = every
        self._last = -every
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Callable[[Progress], None]:
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TextColumn
            from rich.progress import Progress as Bar

            console = Console(file=self._stream)
            self._bar = Bar(SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), console=console)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None)
        return self._show

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._bar is not None:
            self._bar.stop()

    def _show(self, progress: Progress) -> None:
        if self._bar is not None:
            total = None if progress.compiling else progress.total
            self._bar.update(self._task, description=describe(progress), completed=progress.done, total=total)
        elif progress.compiling or progress.done == progress.total or time.monotonic() >= self._last + self._every:
            self._last = time.monotonic()
            print(describe(progress), file=self._stream, flush=True)
