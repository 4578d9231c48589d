"""Showing how far a study is: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from jreg._base.names import printable
from jreg.engine import Layout
from jreg.report.notebook import live

# Seconds between two renewals of a notebook's line; each is a message to the browser.
_RENEW = 0.2


class Progress(NamedTuple):
    """Where a study stands; numbers on the host.

    Attributes:
      done: trainings that have ended, of this round in a race.
      total: trainings of the study or round.
      best: the best mean score among settings that are finished, or None.
      score: what `best` is the mean of.
      seconds: of training since the study began.
      seconds_left: estimated, of this round in a race; None before the first training has ended.
      compiling: for how many trainings a program is being compiled; 0 while they run.
      running: trainings under way.
      queued: trainings that wait for a slot.
      per_second: trainings that end in a second, or None.
      round: of a race, zero-based.
      rounds: of a race; 1 without.
      layout: where the trainings run, or None while that is not known.
      stage: what is done instead of the study's trainings, such as ``"refitting"`` or ``"drawing"``; "" while they run.
      leaders: hyperparameters and mean scores of the best five settings that are finished, the best first.
    """

    done: int
    total: int
    best: float | None
    score: str
    seconds: float
    seconds_left: float | None
    compiling: int = 0
    running: int = 0
    queued: int = 0
    per_second: float | None = None
    round: int = 0
    rounds: int = 1
    layout: Layout | None = None
    stage: str = ""
    leaders: Sequence[tuple[Mapping[str, Any], float]] = ()

    @classmethod
    def of_stage(cls, stage: str) -> Progress:
        """What is done beside a study's trainings."""
        return cls(0, 0, None, "", 0.0, None, stage=stage)


def describe(progress: Progress) -> str:
    """Progress in a line of text.

    >>> describe(Progress(30, 60, 0.975, "val_accuracy", 3.0, 3.0, running=2, queued=28, per_second=10.0))
    '30/60 trainings (2 running, 28 queued), best val_accuracy 0.9750, 10 a second, 3 s left'
    """
    if progress.stage:
        return progress.stage
    of_race = f"round {progress.round + 1} of {progress.rounds}: " if progress.rounds > 1 else ""
    if progress.compiling:
        return f"{of_race}compiling one program for {progress.compiling} trainings"
    parts = [f"{of_race}{progress.done}/{progress.total} trainings"]
    if progress.running or progress.queued:
        parts[0] += f" ({progress.running} running, {progress.queued} queued)"
    if progress.best is not None:
        parts.append(f"best {progress.score} {progress.best:.4f}")
    if progress.per_second:
        parts.append(f"{progress.per_second:.3g} a second")
    if progress.done == progress.total:
        parts.append(f"took {_duration(progress.seconds)}")
    elif progress.seconds_left is not None:
        parts.append(f"{_duration(progress.seconds_left)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


class Display:
    r"""Shows progress: a line in a terminal or a table in a notebook, which renew themselves, else lines now and then.

    Where there is no stream, as when standard error is closed, or it takes no more text, nothing is shown.

    Args:
      stream: where to; default: standard error.
      every: seconds between two lines.
      transient: whether the line goes from a terminal when it ends.

    >>> import io
    >>> log = io.StringIO()
    >>> with Display(log) as show:
    ...     show(Progress(60, 60, 0.975, "val_accuracy", 3.0, 0.0))
    >>> log.getvalue()
    '60/60 trainings, best val_accuracy 0.9750, took 3 s\n'
    """

    def __init__(self, stream: TextIO | None = None, every: float = 5.0, transient: bool = False):
        self._stream: TextIO | None = stream or sys.stderr
        self._every, self._transient = every, transient
        self._last = -every
        self._bar: Any = None
        self._task: Any = None
        self._cell: Any = None

    def __enter__(self) -> Callable[[Progress], None]:
        if self._open():
            self._bar = _bar(self._stream, self._transient)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, began=None)
        elif _in_notebook():
            from IPython.display import display  # ty: ignore[import-not-found]  # a notebook has it

            self._cell = display({"text/plain": "starting"}, raw=True, display_id=True)
        return self._show

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._bar is not None:
            with contextlib.suppress(OSError, ValueError):
                self._bar.stop()

    def _open(self) -> bool:
        """Whether the stream is a terminal; none is left where it is closed."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            self._stream = None
            return False

    def _show(self, progress: Progress) -> None:
        line = printable(describe(progress))
        if self._cell is not None or self._stream is not None:
            try:
                self._write(progress, line)
            except (OSError, ValueError):
                # Nobody reads it any more, which must not end the trainings.
                self._stream = self._bar = None

    def _write(self, progress: Progress, line: str) -> None:
        waits = bool(progress.compiling or progress.stage)
        if self._bar is not None:
            total, began = (None, time.monotonic()) if waits else (progress.total, None)
            self._bar.update(self._task, description=line, completed=progress.done, total=total, began=began)
            return
        pause = self._every if self._cell is None else min(self._every, _RENEW)
        if waits or progress.done == progress.total or time.monotonic() >= self._last + pause:
            self._last = time.monotonic()
            if self._cell is None:
                print(line, file=self._stream, flush=True)
            else:
                page = live(line, progress.done, progress.total, progress.score, progress.leaders)
                self._cell.update({"text/plain": line, "text/html": page}, raw=True)


def _bar(stream: TextIO | None, transient: bool) -> Any:
    """A terminal's line, which also counts the seconds of what can't say how far it is, such as compiling."""
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Seconds(ProgressColumn):
        def render(self, task: Any) -> Text:
            began = task.fields["began"]
            return Text("" if began is None else _duration(time.monotonic() - began))

    columns = SpinnerColumn(), BarColumn(20), TextColumn("{task.description}", markup=False), Seconds()
    return Bar(*columns, console=Console(file=stream), transient=transient)


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, whose standard error is no terminal but a page that can be renewed."""
    shell = sys.modules.get("IPython")
    kinds = type(shell.get_ipython()).__mro__ if shell is not None else ()
    # Google Colab's is a subclass.
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in kinds)
