"""Short names of trainings in this process, and what of an engine's outcomes a person knows by other names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jreg.results import Trained
from jreg.study.design import Design, Trainings

# (setting, fold number, seed), which tells a training from all others.
Identity = tuple[int, int, int]


class Ledger:
    """Short names for trainings, in this process, and which of them have been started and have not ended."""

    def __init__(self) -> None:
        self._count = 0
        self._identities = np.empty((0, 3), np.int64)
        self._open = np.empty(0, bool)

    def enter(self, design: Design, wanted: Trainings) -> np.ndarray:
        """Names for trainings, in the shape of their settings."""
        numbers = np.asarray(design.folds.number, np.int64)
        stages = wanted.settings.shape[1]
        fold, seed = (np.repeat(part, stages) for part in (numbers[wanted.folds], wanted.seeds))
        new = np.stack([wanted.settings.reshape(-1), fold, seed], axis=1)
        first, self._count = self._count, self._count + len(new)
        if self._count > len(self._open):
            room = max(self._count, 2 * len(self._open)) - len(self._open)
            self._identities = np.concatenate([self._identities, np.empty((room, 3), np.int64)])
            self._open = np.concatenate([self._open, np.zeros(room, bool)])
        self._identities[first : self._count] = new
        self._open[first : self._count] = True
        return np.arange(first, self._count).reshape(-1, stages)

    def identities(self, ids: np.ndarray) -> np.ndarray:
        """``(*ids.shape, 3)``, the setting, fold number and seed of trainings."""
        return self._identities[ids]

    def ended(self, outcome: Any) -> Trained:
        """What the trainings of an engine's outcome left, which are open no more."""
        self._open[outcome.id] = False
        setting, fold, seed = self._identities[outcome.id].T
        history = outcome.history[:, : int(outcome.epochs.max(initial=0))]
        numbers = outcome.status, outcome.epochs, outcome.best_epoch
        return Trained(setting, fold, seed, *(np.asarray(n, np.int64) for n in numbers), history, outcome.kept)

    def names(self) -> dict[Identity, int]:
        """The names of the trainings that are open."""
        ids = np.flatnonzero(self._open[: self._count])
        return dict(zip(map(tuple, self._identities[ids].tolist()), ids.tolist(), strict=True))

    def open(self, setting: int) -> list[Identity]:
        """The trainings of a setting that are open."""
        known = self._identities[: self._count]
        chosen = self._open[: self._count] & (known[:, 0] == setting)
        return [(s, f, k) for s, f, k in known[chosen].tolist()]

    def give_up(self, keys: Sequence[Identity]) -> list[int]:
        """The names of those trainings that are open, and are no more."""
        if not keys or not self._open.any():
            return []
        known = self.names()
        ids = [known[key] for key in dict.fromkeys(keys) if key in known]
        self._open[ids] = False
        return ids
