"""Trainings that a policy wants, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg._base.brief import brief
from jreg.search.space import Setting

Static = tuple[tuple[str, Any], ...]


class Trainings(NamedTuple):
    """Trainings to start, as arrays.

    Attributes:
      settings: ``(n, stages)``, places of settings; those of a row are trained one after the other, each from the
        network of the one before it.
      folds: ``(n,)``, places of folds; the one behind the last is the fold of all rows.
      seeds: ``(n,)``.
      limit: the epochs to which they are trained now.
      epochs: how many they have in all.
    """

    settings: np.ndarray
    folds: np.ndarray
    seeds: np.ndarray
    limit: int
    epochs: int

    __repr__ = brief

    def take(self, rows: Any) -> Trainings:
        """Some of them, by a mask, a slice or their places."""
        return self._replace(settings=self.settings[rows], folds=self.folds[rows], seeds=self.seeds[rows])


def grouped(
    wanted: Trainings, settings: Sequence[Setting], static_of: Callable[[Setting], Static]
) -> dict[Static, np.ndarray]:
    """The rows of trainings by what is static in their settings, in the order in which these come first.

    It looks at each setting once, however many trainings it has.
    """
    numbers, first, which = np.unique(wanted.settings[:, 0], return_index=True, return_inverse=True)
    groups: dict[Static, list[int]] = {}
    for place in np.argsort(first).tolist():
        groups.setdefault(static_of(settings[numbers[place]]), []).append(place)
    if len(groups) < 2:
        return {static: np.arange(len(wanted.folds)) for static in groups}
    group = np.empty(len(numbers), np.int64)
    for number, places in enumerate(groups.values()):
        group[places] = number
    of_row = group[which.reshape(-1)]
    ends = np.cumsum(np.bincount(of_row, minlength=len(groups)))
    return dict(zip(groups, np.split(np.argsort(of_row, kind="stable"), ends[:-1]), strict=True))
