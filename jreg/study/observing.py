"""Who watches a study."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence

from jreg.report.progress import Display, Progress

Observer = Callable[[Progress], None]


@contextlib.contextmanager
def observers(
    progress: bool | Callable[[Progress], None] | Sequence[Callable[[Progress], None]],
    transient: bool = False,
) -> Generator[list[Observer]]:
    """The functions that are called with each `Progress`; True stands for the display on standard error.

    `transient` takes that display from a terminal in the end.
    """
    with contextlib.ExitStack() as stack:
        if progress is True:
            yield [stack.enter_context(Display(transient=transient))]
        elif progress is False:
            yield []
        elif not all(map(callable, several := list(progress) if isinstance(progress, Sequence) else [progress])):
            raise TypeError(
                f"progress is {progress!r}, but must be True, False, or functions of a jreg.report.Progress"
            )
        else:
            yield several
