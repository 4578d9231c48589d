"""What a study found: one row per training, and arrays with named axes that are selected from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from jreg._base.types import PyTree
from jreg.results import notebook, selection, table
from jreg.results.nested import Nested
from jreg.results.rows import Rows
from jreg.results.selection import Baseline, SettingResult
from jreg.results.spec import Spec
from jreg.results.timing import Timing
from jreg.results.trained import Found, Trained, as_trained
from jreg.training import Column, Status, find, labels


class Results:
    """The trainings of a study so far, one row each, known by (setting, fold, seed).

    It grows in place: a copy for each chunk of outcomes would cost more than the trainings in it.

    Args:
      spec: what was asked.

    Attributes:
      baseline: what a constant prediction scores on each validation fold; None where nobody has said.
      layouts: by what is static in settings the (slots, batch) with which their program trains, where that is known;
        what is added later has to train in batches of the same size. A third number says how many devices share a
        training.
    """

    def __init__(self, spec: Spec):
        self.timing = Timing()
        self.baseline: Baseline | None = None
        self.layouts: dict[str, tuple[int, ...]] = {}
        self._rows, self._spec = Rows(spec), None
        self._selected: dict[Any, Any] = {}

    @property
    def spec(self) -> Spec:
        """What was asked."""
        return self._spec or self._rows.spec

    def part(self, folds: Iterable[int]) -> Results:
        """The trainings on some folds alone, as the results of a study that has these as its validation folds.

        They choose, rank and show as any do, and share what there is now: take others after more was added. `folds`
        are numbers of folds, whatever their role; KeyError where there is none.
        """
        made, numbers = Results(self.spec.of_folds(folds)), [fold.number for fold in self.spec.numbered()]
        made.timing, made.layouts = self.timing, self.layouts
        made._rows, made._spec = self._rows, made.spec
        own = [fold.number for fold in made.spec.folds]
        if self.baseline is not None and set(own) <= set(numbers):
            chosen = tuple(self.baseline.scores[numbers.index(number)] for number in own)
            made.baseline = self.baseline._replace(scores=chosen)
        return made

    @property
    def nested(self) -> Nested:
        """What a nested study says: the honest estimate, the naive one, the choices.

        Raises:
          ValueError: these are no results of `jreg.nested_cross_validate`.
        """
        return Nested(self)

    def add(self, found: Trained | Iterable[Found]) -> None:
        """Adds what trainings left; of two of one identity the longer one stays, and ties go to the newer one.

        Raises:
          ValueError: the study has no such setting, fold or seed.
        """
        for some in [found] if isinstance(found, Trained) else as_trained(found):
            self._rows.add(some)
        self._selected.clear()

    def prune(self, keys: Iterable[tuple[int, int, int]]) -> Trained:
        """Marks trainings that have not ended as given up; what they have left so far stays.

        Returns the trainings that are marked.
        """
        given_up = np.array(list(keys), np.int64).reshape(-1, 3)
        if not len(given_up):
            return self._rows.trained(np.empty(0, np.int64))
        rows = self._rows.numbers(*given_up.T)
        new = given_up[rows < 0]
        count = len(new)
        empty = np.empty((count, 0, len(self.spec.columns)), np.float32)
        nothing = np.zeros(count, np.int64)
        self._rows.add(Trained(*new.T, np.full(count, int(Status.WAITING)), nothing, nothing - 1, empty, {}))
        rows = np.unique(self._rows.numbers(*given_up.T))
        rows = rows[np.isin(self._rows["status"][rows], (Status.WAITING, Status.PRUNED))]
        self._rows.mark(rows, Status.PRUNED)
        self._selected.clear()
        return self._rows.trained(rows)

    def grow(self, spec: Spec) -> None:
        """Makes room for the settings, folds, seeds and columns that a specification has gained."""
        self._rows.fit(spec)
        self._selected.clear()

    def __len__(self) -> int:
        return len(self._rows) if self._spec is None else len(self._own())

    def __iter__(self) -> Iterator[Found]:
        return map(self._rows.found, self._own().tolist())

    def _own(self) -> np.ndarray:
        """The rows of the table that these results have."""
        if self._spec is None:
            return np.arange(len(self._rows))
        return np.flatnonzero(np.isin(self._rows["fold"], [fold.number for fold in self.spec.folds]))

    def _ranking_rows(self) -> np.ndarray:
        """``(settings, folds, seeds)``, the rows of the trainings that rank the settings; -1 where there is none."""
        return self._rows.selected([fold.number for fold in self.spec.numbered()])

    def trained(self, keys: Iterable[tuple[int, int, int]] | None = None) -> Trained:
        """Trainings as arrays without what they kept; default: all, ordered by setting, fold and seed."""
        if keys is None:
            return self._rows.trained(self._rows.order(self._own()))
        return self._rows.trained(self._rows.numbers(*np.array(list(keys), np.int64).reshape(-1, 3).T))

    def ordered(self, most: int) -> Iterator[Trained]:
        """`trained` in parts of at most so many epochs, or of one training."""
        order, longest = self._rows.order(self._own()), int(self._rows["epochs"].max(initial=1))
        step = max(1, most // longest)
        return (self._rows.trained(order[first : first + step]) for first in range(0, len(order), step))

    def __repr__(self) -> str:
        asked = "{} settings x {} folds x {} seeds".format(*self.shape)
        outer = f"{len(outer)} outer folds, inside them " if (outer := self.spec.numbered("outer")) else ""
        return f"Results({self.spec.data}: {len(self)} trainings of {outer}{asked})"

    def _repr_html_(self) -> str:
        return notebook.as_html(self)

    def get(self, setting: int, fold: int, seed: int) -> Found | None:
        """What a training left, by the numbers of its setting and fold and by its seed; None where it hasn't ended."""
        row = int(self._rows.numbers(setting, fold, seed))
        return None if row < 0 else self._rows.found(row)

    def statuses(self, setting: np.ndarray, fold: np.ndarray, seed: np.ndarray) -> np.ndarray:
        """The `Status` of trainings, by the numbers of their settings and folds and by their seeds."""
        rows = self._rows.numbers(setting, fold, seed)
        return np.where(rows < 0, Status.WAITING, self._rows["status"][rows] if len(self._rows) else Status.WAITING)

    def missing(self) -> list[tuple[int, int, int]]:
        """The (setting, fold number, seed) of ranking trainings that were not trained to their end."""
        folds = np.array([fold.number for fold in self.spec.numbered()], np.int64)
        setting, fold, seed = np.nonzero(self.status == Status.WAITING)
        seeds = np.asarray(self.spec.seeds, np.int64)[seed]
        return list(zip(setting.tolist(), folds[fold].tolist(), seeds.tolist(), strict=True))

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

    def _select(self, name: str, fill: int) -> np.ndarray:
        """A column of the table as ``(settings, folds, seeds)`` of the validation trainings."""

        def select() -> np.ndarray:
            rows = self._ranking_rows()
            found, there = np.full(rows.shape, fill, np.int64), rows >= 0
            found[there] = self._rows[name][rows[there]]
            return found

        return self.cached(name, select)

    @property
    def status(self) -> np.ndarray:
        """``(settings, folds, seeds)`` of `Status`; WAITING for those that have not ended."""
        return self._select("status", Status.WAITING)

    @property
    def epochs(self) -> np.ndarray:
        """``(settings, folds, seeds)``, how many epochs were run."""
        return self._select("epochs", 0)

    @property
    def best_epochs(self) -> np.ndarray:
        """``(settings, folds, seeds)``, the zero-based epoch whose score is reported."""
        return self._select("best_epoch", 0)

    @property
    def history(self) -> np.ndarray:
        """``(settings, folds, seeds, epochs, columns)`` float32, NaN where not run."""
        rows, epochs = self._rows, self.spec.epochs
        return self.cached("history", lambda: rows.histories(self._ranking_rows(), epochs))

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

        def select() -> np.ndarray:
            values = self._rows.at_best(self._ranking_rows(), self.spec.columns.index(column))
            instead = self.spec.score_of_errors if column == self.spec.score else np.nan
            errors = np.isin(self.status, [status for status in Status if status.is_error])
            return np.where(np.isin(self.status, ended), values, np.where(errors, instead, np.nan))

        return self.cached(("values", column, tuple(ended)), select)

    def kept(self, setting: int, name: str) -> list[tuple[Found, PyTree]]:
        """What a keep function returned for a setting's validation trainings, by fold and seed."""
        rows = self._ranking_rows()[setting].ravel()
        found = [self._rows.found(row) for row in rows[rows >= 0]]
        return [(row, row.kept[name]) for row in found if name in row.kept]

    def blocks(self) -> Iterator[Trained]:
        """All trainings as arrays, those together whose kept things lie together."""
        return self._rows.blocks(self._own())

    def refer(self, blocks: np.ndarray, places: np.ndarray, read: Callable[[int], dict[str, PyTree]]) -> None:
        """Says where what trainings kept can be read, in the order in which they were added."""
        self._rows.refer(blocks, places, read)

    def cached(self, name: Any, compute: Callable[[], Any]) -> Any:
        """What `compute` returns, which is remembered until trainings are added."""
        if name not in self._selected:
            self._selected[name] = compute()
        return self._selected[name]

    @property
    def settings(self) -> Sequence[SettingResult]:
        """One `SettingResult` per setting, in the space's order."""
        order = np.arange(len(self.spec.settings))
        return self.cached("settings", lambda: selection.SettingResults(self, order))

    @property
    def finished(self) -> bool:
        """Whether some setting has all its scores, so that there is a best."""
        return bool(np.isfinite(selection.means(self)[0]).any())

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
    def ranking(self) -> Sequence[SettingResult]:
        """The settings from the best mean to the worst, of equal ones the first; those without one are last."""
        return self.cached("ranking", lambda: selection.ranking(self))

    @property
    def trainings_per_second(self) -> float:
        """Trainings that ended, over the seconds they ran, compilation left out."""
        seconds = self.timing.run_seconds
        return int((self._rows["epochs"] > 0).sum()) / seconds if seconds else 0.0

    def to_pandas(self) -> Any:
        """One row per training as a pandas DataFrame (pandas is not a dependency of jreg)."""
        return table.as_pandas(self)

    def to_xarray(self) -> Any:
        """Scores, statuses, epochs and histories as an xarray Dataset (xarray is not a dependency of jreg)."""
        return table.as_xarray(self)
