"""Jobs that wait for a slot, in order, without an object for each of what may be millions."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from jreg.engine.jobs import Job


class Run(NamedTuple):
    """Some jobs of a block, in order.

    Attributes:
      jobs: the block, arrays with a leading axis.
      rows: ``(n,)``, which of them.
    """

    jobs: Job
    rows: np.ndarray


class Waiting:
    """A queue of jobs, which takes as many runs as it was given blocks."""

    def __init__(self) -> None:
        self._runs: deque[Run] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, run: Run) -> None:
        """Puts jobs at the end."""
        if len(run.rows):
            self._runs.append(run)
            self._count += len(run.rows)

    def put_back(self, runs: Sequence[Run]) -> None:
        """Puts jobs before all others."""
        for run in reversed(runs):
            if len(run.rows):
                self._runs.appendleft(run)
                self._count += len(run.rows)

    def take(self, most: int) -> list[Run]:
        """Takes the first jobs, at most so many."""
        found = []
        while most and self._runs:
            run = self._runs.popleft()
            found.append(run._replace(rows=run.rows[:most]))
            if len(run.rows) > most:
                self._runs.appendleft(run._replace(rows=run.rows[most:]))
            most -= len(found[-1].rows)
            self._count -= len(found[-1].rows)
        return found

    def drop(self, ids: Collection[int]) -> None:
        """Takes out the jobs whose first training is one of these."""
        wanted, runs = list(ids), list(self._runs)
        self._runs.clear()
        self._count = 0
        for run in runs:
            self.append(run._replace(rows=run.rows[~np.isin(run.jobs.id[run.rows, 0], wanted)]))


def chosen(runs: Sequence[Run], mask: np.ndarray) -> list[Run]:
    """Those jobs of runs, one after the other, whose flag is set."""
    ends = np.cumsum([len(run.rows) for run in runs])
    parts = np.split(mask, ends[:-1]) if len(runs) else []
    return [run._replace(rows=run.rows[part]) for run, part in zip(runs, parts, strict=True)]
