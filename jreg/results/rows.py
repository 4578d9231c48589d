"""The trainings of a study as columns that grow, found by setting, fold and seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jreg._base.types import PyTree
from jreg.results.spec import Spec
from jreg.results.trained import Found, Trained
from jreg.training import Status

_COLUMNS = np.dtype(
    [
        ("setting", np.int64),
        ("fold", np.int64),
        ("seed", np.int64),
        ("status", np.int8),
        ("epochs", np.int32),
        ("best_epoch", np.int32),
        # Where its history begins among all epochs, and what it kept: a block's number, -1 for none, and its place.
        ("start", np.int64),
        ("block", np.int64),
        ("place", np.int64),
    ]
)


class Rows:
    """One row per training; what is added costs the same however many there are.

    Attributes:
      spec: what was asked, which says where a training has its place.
    """

    def __init__(self, spec: Spec):
        self._rows: Any = np.empty(0, _COLUMNS)
        self._values = np.empty((0, len(spec.columns)), np.float32)
        self._count = self._epochs = 0
        # What was kept, block by block, or a function that reads it; and how many rows still refer to it.
        self._kept: dict[int, Any] = {}
        self._used: dict[int, int] = {}
        self._index = np.empty((0, 0, 0), np.int32)
        self.fit(spec)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> np.ndarray:
        """A column, ``(n,)``, in the order in which trainings were first added."""
        return self._rows[name][: self._count]

    def fit(self, spec: Spec) -> None:
        """Makes room for the settings, folds, seeds and columns of a specification that has grown."""
        self.spec = spec
        self._fold_places = _Places([fold.number for fold in spec.folds])
        self._seed_places = _Places(spec.seeds)
        shape = (len(spec.settings), len(spec.folds), len(spec.seeds))
        old = self._index
        if any(now > before for now, before in zip(shape, old.shape, strict=True)):
            # Searches add one setting after the other.
            settings = shape[0] if shape[0] <= old.shape[0] or not old.size else max(shape[0], 2 * old.shape[0])
            self._index = np.full((max(settings, old.shape[0]), *shape[1:]), -1, np.int32)
            self._index[tuple(slice(size) for size in old.shape)] = old
        if (more := len(spec.columns) - self._values.shape[1]) > 0:
            self._values = np.pad(self._values, ((0, 0), (0, more)), constant_values=np.nan)

    def places(self, setting: Any, fold: Any, seed: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Settings, and the places of folds and seeds.

        Raises:
          ValueError: the specification has no such setting, fold or seed.
        """
        setting = np.asarray(setting, np.int64)
        settings = len(self.spec.settings)
        if (wrong := (setting < 0) | (setting >= settings)).any():
            raise ValueError(f"there is no setting {setting[wrong].flat[0]}: the study has {settings}")
        return setting, self._fold_places.of(fold, "fold"), self._seed_places.of(seed, "seed")

    def numbers(self, setting: Any, fold: Any, seed: Any) -> np.ndarray:
        """The rows of trainings; -1 for those that are not there."""
        return self._index[self.places(setting, fold, seed)]

    def selected(self, folds: Sequence[int]) -> np.ndarray:
        """``(settings, folds, seeds)``, the rows of trainings on folds of these numbers; -1 where there are none."""
        return self._index[: len(self.spec.settings)][:, self._fold_places.of(folds, "fold")]

    def add(self, found: Trained) -> None:
        """Adds trainings; of two of one identity the longer one stays, and ties go to the newer one."""
        places = self.places(found.setting, found.fold, found.seed)
        codes = np.ravel_multi_index(places, self._index.shape) if len(found) else np.empty(0, np.int64)
        if len(np.unique(codes)) < len(codes):
            for number in range(len(found)):
                self.add(found.take([number]))
            return
        at = self._index[places]
        before = np.where(at < 0, -1, self._rows["epochs"][at] if self._count else -1)
        stays = np.asarray(found.epochs) >= before
        if not stays.all():
            found, at, places = found.take(stays), at[stays], tuple(place[stays] for place in places)
        self._append(found, at, places)

    def _append(self, found: Trained, at: np.ndarray, places: tuple[np.ndarray, ...]) -> None:
        new = at < 0
        rows = at.astype(np.int64)
        rows[new] = np.arange(self._count, self._count + new.sum())
        self._rows = _room(self._rows, self._count + int(new.sum()))
        for block in self._rows["block"][rows[~new]].tolist():
            self._let_go(block)
        self._count += int(new.sum())
        self._index[places] = rows
        epochs = np.asarray(found.epochs, np.int64)
        block = self._keep(found)
        ends = self._epochs + np.cumsum(epochs)
        values = {
            "setting": found.setting, "fold": found.fold, "seed": found.seed, "status": found.status,
            "epochs": epochs, "best_epoch": found.best_epoch, "start": ends - epochs,
            "block": block, "place": np.arange(len(rows)),
        }  # fmt: skip
        for name, column in values.items():
            self._rows[name][rows] = column
        self._extend(found.history, epochs)

    def _extend(self, history: np.ndarray, epochs: np.ndarray) -> None:
        run = np.arange(history.shape[1]) < epochs[:, None]
        total = self._epochs + int(epochs.sum())
        self._values = _room(self._values, total)
        # Terms that only later settings have are missing at the end.
        self._values[self._epochs : total, : history.shape[2]] = history[run]
        self._values[self._epochs : total, history.shape[2] :] = np.nan
        self._epochs = total

    def _keep(self, found: Trained) -> int:
        if not found.kept:
            return -1
        block = 1 + max(self._kept, default=-1)
        self._kept[block], self._used[block] = found.kept, len(found)
        return block

    def _let_go(self, block: int) -> None:
        """Forgets what a replaced training kept, with the last one of its block."""
        if block >= 0:
            self._used[block] -= 1
            if not self._used[block]:
                del self._used[block], self._kept[block]

    def refer(self, blocks: np.ndarray, places: np.ndarray, read: Callable[[int], dict[str, PyTree]]) -> None:
        """Says where what the rows kept can be read: the block of each, -1 for none, and its place in that."""
        self._rows["block"][: self._count] = blocks
        self._rows["place"][: self._count] = places
        used, counts = np.unique(blocks[blocks >= 0], return_counts=True)
        self._kept = dict.fromkeys(used.tolist(), read)
        self._used = dict(zip(used.tolist(), counts.tolist(), strict=True))

    def kept(self, row: int) -> dict[str, PyTree]:
        """What the keep functions of a training returned."""
        block, place = int(self._rows["block"][row]), int(self._rows["place"][row])
        if block < 0:
            return {}
        if callable(self._kept[block]):
            self._kept[block] = self._kept[block](block)
        return jax.tree.map(lambda leaf: leaf[place], self._kept[block])

    def blocks(self, own: np.ndarray) -> Iterator[Trained]:
        """Rows as arrays, with what they kept."""
        for block in np.unique(self["block"][own]).tolist():
            rows = own[self["block"][own] == block]
            found = self.trained(rows)
            if block < 0:
                yield found
            else:
                self.kept(int(rows[0]))
                places = self["place"][rows]
                kept = jax.tree.map(lambda leaf, places=places: leaf[places], self._kept[block])
                yield dataclasses.replace(found, kept=kept)

    def order(self, own: np.ndarray) -> np.ndarray:
        """Rows ordered by setting, fold and seed."""
        return own[np.lexsort(tuple(self[name][own] for name in ("seed", "fold", "setting")))]

    def mark(self, rows: np.ndarray, status: Status) -> None:
        """Gives rows another status."""
        self._rows["status"][rows] = status

    def found(self, row: int) -> Found:
        """A row by itself."""
        setting, fold, seed, status, epochs, best = self._rows[row].item()[:6]
        role = next(known.role for known in self.spec.folds if known.number == fold)
        return Found(setting, fold, seed, role, Status(status), epochs, best, self.history(row), self.kept(row))

    def history(self, row: int) -> np.ndarray:
        """``(epochs, columns)`` of one training."""
        start, epochs = int(self._rows["start"][row]), int(self._rows["epochs"][row])
        return self._values[start : start + epochs]

    def trained(self, rows: np.ndarray) -> Trained:
        """Rows as arrays, without what they kept."""
        some = self._rows[rows]
        history = self.histories(rows, int(some["epochs"].max(initial=0)))
        names = ("setting", "fold", "seed", "status", "epochs", "best_epoch")
        return Trained(*(some[name].astype(np.int64) for name in names), history, {})

    def histories(self, rows: np.ndarray, epochs: int) -> np.ndarray:
        """``(*rows.shape, epochs, columns)``, NaN where not run and where a row is -1."""
        found = np.full((rows.size, epochs, self._values.shape[1]), np.nan, np.float32)
        there = np.flatnonzero(rows.ravel() >= 0)
        some = self._rows[rows.ravel()[there]]
        lengths = np.minimum(some["epochs"], epochs)
        epoch = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found[np.repeat(there, lengths), epoch] = self._values[np.repeat(some["start"], lengths) + epoch]
        return found.reshape(*rows.shape, *found.shape[1:])

    def at_best(self, rows: np.ndarray, column: int) -> np.ndarray:
        """A column's value at each row's best epoch, float64; NaN where nothing was run."""
        found = np.full(rows.shape, np.nan)
        there = rows >= 0
        there[there] = self._rows["epochs"][rows[there]] > 0
        some = self._rows[rows[there]]
        found[there] = self._values[some["start"] + np.maximum(some["best_epoch"], 0), column]
        return found


class _Places:
    """The places of different numbers."""

    def __init__(self, numbers: Any):
        listed = np.array(list(numbers), np.int64)
        self._order = np.argsort(listed)
        self._sorted = listed[self._order]

    def of(self, wanted: Any, what: str) -> np.ndarray:
        wanted = np.asarray(wanted, np.int64)
        found = np.minimum(np.searchsorted(self._sorted, wanted), max(0, len(self._sorted) - 1))
        wrong = self._sorted[found] != wanted if len(self._sorted) else np.ones(wanted.shape, bool)
        if wrong.any():
            raise ValueError(f"there is no {what} {wanted[wrong].flat[0]}: the study has {self._sorted.tolist()[:20]}")
        return self._order[found]


def _room(array: np.ndarray, length: int) -> np.ndarray:
    """The array, or a copy with room for at least `length` and a half more."""
    if length <= len(array):
        return array
    grown = np.empty((max(length, len(array) * 3 // 2), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
