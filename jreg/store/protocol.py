"""What a study asks of a store, and the store that keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg.results import Results, Spec, Trained


class Halfway(NamedTuple):
    """The trainings of one program that are under way, as a checkpoint has them.

    Attributes:
      static: what is static in their settings, as `jreg.results.canonical` writes it.
      settings: ``(n, stages)``, the places of their settings.
      fold: ``(n,)``, the numbers of their folds.
      seed: ``(n,)``.
      stage: ``(n,)``, which of its settings each one trains.
      state: their states by name, with a leading axis.
      place: ``(n, 2)``, the numbers of their slots, and how many slots there were.
    """

    static: str
    settings: np.ndarray
    fold: np.ndarray
    seed: np.ndarray
    stage: np.ndarray
    state: dict[str, np.ndarray]
    place: np.ndarray


class Nowhere(contextlib.AbstractContextManager):
    """A store that keeps nothing; another one may begin with it and replace what it keeps.

    It is entered before the study is put together and left when it has ended, whatever ends it.

    Attributes:
      keeps: whether it keeps anything.
    """

    keeps = False

    def __exit__(self, *_: Any) -> None:
        """Leaves it."""

    def stored(self) -> Spec | None:
        """What an earlier run was asked, whose results are here."""
        return None

    def forget(self) -> None:
        """Restarts, whatever was stored."""

    def open(self, spec: Spec) -> Results:
        """The results of an earlier run, with room for what is asked now; none where there was no earlier run."""
        return Results(spec)

    def log(self) -> list[dict[str, Any]]:
        """What the policy of an earlier run had decided, in order."""
        return []

    def halfway(self) -> list[Halfway]:
        """The trainings that were under way at the last checkpoint of an earlier run."""
        return []

    def append(self, results: Results, found: Sequence[Trained], log: Sequence[dict[str, Any]] = ()) -> None:
        """Takes what trainings have left, which `results` have already, and what the policy has decided since."""

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return False

    def checkpoint(self, halfway: Sequence[Halfway]) -> None:
        """Takes the trainings that are under way; arrays that nobody changes any more."""

    def close(self, results: Results) -> None:
        """Writes what is to be written at the end, also at an interruption."""
