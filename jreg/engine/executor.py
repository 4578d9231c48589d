"""Who trains: the protocol between a study and what executes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from jreg._base.types import PyTree
from jreg.engine.jobs import Job
from jreg.engine.pool import Chunk, Running
from jreg.engine.saved import Saved
from jreg.training import Plan


class Executor(Protocol):
    """Trains jobs and gives their outcomes back; `Local` does so on this process's devices."""

    @property
    def free(self) -> int:
        """How many slots there are that no waiting job will take."""
        ...

    @property
    def busy(self) -> bool:
        """Whether anything trains or waits."""
        ...

    def watch(self, compiling: Callable[[int], None]) -> None:
        """Has `compiling` called before a program is compiled, with the number of jobs that wait for it."""
        ...

    def submit(self, plan: Plan, jobs: Job) -> None:
        """Queues jobs, NumPy arrays with a leading axis."""
        ...

    def restore(
        self,
        plan: Plan,
        jobs: Job,
        stage: np.ndarray,
        state: Mapping[str, np.ndarray],
        place: np.ndarray | None = None,
    ) -> None:
        """Queues jobs that go on from states that `saved` gave, possibly in another process.

        What a training is stays: its hyperparameters, keys, fold and epochs; its ids and limit may be others. Where
        there is no room for a state, its job is one that `submit` gets, before all that wait. `place` says which slots
        they had; only a search that repeats itself to the bit needs them.

        Raises:
          ValueError: the states don't fit the plan.
        """
        ...

    def saved(self) -> list[Saved]:
        """Copies of the trainings that are under way; empty for an executor that can't tell."""
        ...

    def cancel(self, ids: Iterable[int]) -> None:
        """Gives up trainings; those that had begun come back as pruned, the others leave nothing."""
        ...

    def advance(self, epochs: int | None = None) -> Chunk:
        """Trains until some trainings may have ended: for `epochs` epochs of every slot, or for about half a second."""
        ...

    def running(self) -> Running:
        """The trainings that are under way, with their histories so far."""
        ...

    def network(self, wanted: int) -> tuple[PyTree, PyTree, PyTree]:
        """The (parameters, running averages, preprocessing statistics) of a training that ended in the last chunk."""
        ...
