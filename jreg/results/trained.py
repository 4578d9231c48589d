"""What trainings left: one of them as a row, many of them as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from jreg._base.brief import brief
from jreg._base.types import PyTree
from jreg.training import Status


class Found(NamedTuple):
    """What one training left.

    Attributes:
      setting: its place in the space.
      fold: the number of its fold.
      seed: its seed.
      role: of its fold.
      status: a `Status`.
      epochs: how many were run.
      best_epoch: the zero-based epoch whose score is reported; -1 when no value was ever finite.
      history: ``(epochs, columns)`` float32.
      kept: what the keep functions returned.
    """

    setting: int
    fold: int
    seed: int
    role: str
    status: Status
    epochs: int
    best_epoch: int
    history: np.ndarray
    kept: dict[str, PyTree]

    __repr__ = brief


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """What many trainings left, as arrays with a leading axis.

    Attributes:
      setting: ``(n,)``, their places in the space.
      fold: ``(n,)``, the numbers of their folds.
      seed: ``(n,)``.
      status: ``(n,)`` of `Status`.
      epochs: ``(n,)``, how many were run.
      best_epoch: ``(n,)``, the zero-based epochs whose scores are reported; -1 when no value was ever finite.
      history: ``(n, epochs, columns)`` float32, of which the first `epochs` of each count.
      kept: what the keep functions returned, with a leading axis.
    """

    setting: np.ndarray
    fold: np.ndarray
    seed: np.ndarray
    status: np.ndarray
    epochs: np.ndarray
    best_epoch: np.ndarray
    history: np.ndarray
    kept: dict[str, PyTree]

    def __len__(self) -> int:
        return len(self.setting)

    def __repr__(self) -> str:
        return f"Trained({len(self)} trainings, {int(self.epochs.sum())} epochs)"

    def take(self, rows: Any) -> Trained:
        """Some of them, by a mask, a slice or their places."""
        arrays = {field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)[:-1]}
        return Trained(**arrays, kept=jax.tree.map(lambda leaf: leaf[rows], self.kept))


def as_trained(found: Iterable[Found]) -> list[Trained]:
    """Rows as arrays, each alone, since their histories and what they kept may have different shapes."""
    blocks = []
    for row in found:
        numbers = (row.setting, row.fold, row.seed, int(row.status), row.epochs, row.best_epoch)
        history = np.asarray(row.history, np.float32)[None]
        kept = jax.tree.map(lambda leaf: np.asarray(leaf)[None], row.kept)
        blocks.append(Trained(*(np.array([number], np.int64) for number in numbers), history, kept))
    return blocks
