"""What a study found: one row per training, and arrays with named axes that are selected from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jreg._base.brief import brief
from jreg._base.types import PyTree
from jreg.results import selection, table
from jreg.results.selection import Baseline, SettingResult
from jreg.results.spec import Spec
from jreg.training import Column, Status, find, labels


@dataclasses.dataclass
class Timing:
    """Where the time went.

    Attributes:
      compile_seconds: tracing and compiling.
      run_seconds: everything else, once the settings are checked.
      device_seconds: of those, the ones in the compiled program; the rest is the host's work.
      useful, executed: training-epochs that trained something, and that were paid for.
      layout: the devices and slots it began with, as text.
      devices: how many there were.
    """

    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    device_seconds: float = 0.0
    useful: int = 0
    executed: int = 0
    layout: str = "None"
    devices: int = 0

    @property
    def occupancy(self) -> float:
        """The share of the training-epochs paid for that trained something."""
        return self.useful / max(1, self.executed)


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


class Results:
    """The trainings of a study so far, one row each, known by (setting, fold, seed).

    It grows in place: a copy for each chunk of outcomes would cost more than the trainings in it.

    Args:
      spec: what was asked.

    Attributes:
      baseline: what a constant prediction scores on each validation fold; None where nobody has said.
    """

    def __init__(self, spec: Spec):
        self.spec, self.timing = spec, Timing()
        self.baseline: Baseline | None = None
        self._rows: dict[tuple[int, int, int], Found] = {}
        self._selected: dict[Any, Any] = {}

    def add(self, found: Iterable[Found]) -> None:
        """Adds what trainings left; of two of one identity the longer one stays, and ties go to the newer one."""
        for row in found:
            key = (row.setting, row.fold, row.seed)
            before = self._rows.get(key)
            if before is None or before.epochs <= row.epochs:
                self._rows[key] = row
        self._selected.clear()

    def prune(self, keys: Iterable[tuple[int, int, int]]) -> None:
        """Marks trainings that have not ended as given up; what they have left so far stays."""
        roles = {fold.number: fold.role for fold in self.spec.folds}
        for setting, fold, seed in keys:
            row = self._rows.get((setting, fold, seed))
            if row is None:
                empty = np.empty((0, len(self.spec.columns)), np.float32)
                row = Found(setting, fold, seed, roles[fold], Status.PRUNED, 0, -1, empty, {})
            if row.status in (Status.WAITING, Status.PRUNED):
                self._rows[setting, fold, seed] = row._replace(status=Status.PRUNED)
        self._selected.clear()

    def grow(self, spec: Spec) -> None:
        """Makes room for the settings, folds, seeds and columns that a specification has gained."""
        self.spec = spec
        self._selected.clear()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Found]:
        return iter(self._rows.values())

    def __repr__(self) -> str:
        asked = "{} settings x {} folds x {} seeds".format(*self.shape)
        return f"Results({self.spec.data}: {len(self)} trainings of {asked})"

    def get(self, setting: int, fold: int, seed: int) -> Found | None:
        """What a training left, by the numbers of its setting and fold and by its seed; None where it hasn't ended."""
        return self._rows.get((setting, fold, seed))

    def missing(self, spec: Spec | None = None) -> list[tuple[int, int, int]]:
        """The (setting, fold number, seed) of trainings that were not trained to their end."""
        spec = spec or self.spec
        wanted = (
            (setting, fold.number, seed)
            for setting in range(len(spec.settings))
            for fold in spec.numbered()
            for seed in spec.seeds
        )
        return [key for key in wanted if key not in self._rows or self._rows[key].status == Status.WAITING]

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many settings, validation folds and seeds there are."""
        return len(self.spec.settings), len(self.spec.numbered()), len(self.spec.seeds)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the history's columns."""
        return labels(self.spec.columns)

    @property
    def maximize(self) -> bool:
        """Whether higher scores are better."""
        return self.spec.score.maximize

    def _placed(self) -> list[tuple[tuple[int, int, int], Found]]:
        """The validation trainings with their places on the axes (setting, fold, seed)."""
        folds = {fold.number: place for place, fold in enumerate(self.spec.numbered())}
        seeds = {seed: place for place, seed in enumerate(self.spec.seeds)}
        found = []
        for (setting, fold, seed), row in self._rows.items():
            if fold in folds and seed in seeds and setting < len(self.spec.settings):
                found.append(((setting, folds[fold], seeds[seed]), row))
        return found

    def _select(self, name: Any, fill: Any, dtype: Any, value: Any, *axes: int) -> np.ndarray:
        if name not in self._selected:
            array = np.full((*self.shape, *axes), fill, dtype)
            for place, row in self._placed():
                found = value(row)
                array[(*place, *(slice(size) for size in np.shape(found)))] = found
            self._selected[name] = array
        return self._selected[name]

    @property
    def status(self) -> np.ndarray:
        """``(settings, folds, seeds)`` of `Status`; WAITING for those that have not ended."""
        return self._select("status", Status.WAITING, np.int64, lambda row: int(row.status))

    @property
    def epochs(self) -> np.ndarray:
        """``(settings, folds, seeds)``, how many epochs were run."""
        return self._select("epochs", 0, np.int64, lambda row: row.epochs)

    @property
    def best_epochs(self) -> np.ndarray:
        """``(settings, folds, seeds)``, the zero-based epoch whose score is reported."""
        return self._select("best_epochs", 0, np.int64, lambda row: row.best_epoch)

    @property
    def history(self) -> np.ndarray:
        """``(settings, folds, seeds, epochs, columns)`` float32, NaN where not run."""
        size = (self.spec.epochs, len(self.spec.columns))
        return self._select("history", np.nan, np.float32, lambda row: row.history, *size)

    @property
    def scores(self) -> np.ndarray:
        """``(settings, folds, seeds)``, each training's score; NaN where there is none, see `Spec.error_score`."""
        return self.values(self.spec.score)

    def curve(self, label: str) -> np.ndarray:
        """A column of the history by its label, ``(settings, folds, seeds, epochs)``."""
        column = self.column(label)
        return self.history[..., self.spec.columns.index(column)]

    def column(self, label: str) -> Column:
        """The column with this label.

        Raises:
          ValueError: there is none.
        """
        return find(self.spec.columns, label, "the history is asked for")

    def values(self, column: Column, ended: Sequence[Status] = (Status.COMPLETED, Status.STOPPED)) -> np.ndarray:
        """``(settings, folds, seeds)``, a column's value at each training's best epoch.

        NaN where the training's status is none of `ended`; of the score that of `Spec.error_score` where it is an
        error.
        """
        place = self.spec.columns.index(column)

        def value(row: Found) -> float:
            if row.status.is_error and row.status not in ended:
                return self.spec.score_of_errors if column == self.spec.score else np.nan
            known = row.status in ended and place < row.history.shape[1] and row.epochs
            return float(row.history[max(row.best_epoch, 0), place]) if known else np.nan

        return self._select(("values", column, tuple(ended)), np.nan, np.float64, value)

    def kept(self, setting: int, name: str) -> list[tuple[Found, PyTree]]:
        """What a keep function kept under a name, for each validation training of a setting that has it."""
        number = {fold.number for fold in self.spec.numbered()}
        rows = sorted((row for row in self if row.setting == setting and row.fold in number), key=lambda r: r[:3])
        return [(row, row.kept[name]) for row in rows if name in row.kept]

    @property
    def settings(self) -> tuple[SettingResult, ...]:
        """One `SettingResult` per setting, in the space's order."""
        if "settings" not in self._selected:
            self._selected["settings"] = selection.setting_results(self)
        return self._selected["settings"]

    @property
    def finished(self) -> bool:
        """Whether some setting has all its scores, so that there is a best."""
        return any(np.isfinite(result.mean) for result in self.settings)

    @property
    def best(self) -> SettingResult:
        """The setting with the best mean score; ValueError when none has all its scores."""
        selection.check_finished(self)
        return selection.best(self)

    @property
    def one_standard_error(self) -> SettingResult:
        """The most regularized setting within one standard error of the best."""
        selection.check_finished(self)
        return selection.one_standard_error(self)

    @property
    def ranking(self) -> list[SettingResult]:
        """The settings from the best mean to the worst, of equal ones the first; those without one are last."""
        return selection.ranking(self)

    @property
    def trainings_per_second(self) -> float:
        """Trainings that ended, over the seconds they ran, compilation left out."""
        seconds = self.timing.run_seconds
        return sum(row.epochs > 0 for row in self) / seconds if seconds else 0.0

    def to_pandas(self) -> Any:
        """One row per training as a pandas DataFrame (pandas is not a dependency of jreg)."""
        import pandas  # ty: ignore[import-not-found]  # not a dependency

        return pandas.DataFrame([table.flat(row) for row in table.trainings(self)])

    def to_xarray(self) -> Any:
        """Scores, statuses, epochs and histories as an xarray Dataset (xarray is not a dependency of jreg)."""
        import xarray  # ty: ignore[import-not-found]  # not a dependency

        axes = ("setting", "fold", "seed")
        named = {
            "score": (axes, self.scores),
            "status": (axes, self.status),
            "epochs": (axes, self.epochs),
            "best_epoch": (axes, self.best_epochs),
            "history": ((*axes, "epoch", "column"), self.history),
        }
        folds = [fold.number for fold in self.spec.numbered()]
        return xarray.Dataset(named, {"fold": folds, "seed": list(self.spec.seeds), "column": list(self.labels)})
