"""Results as rows of plain values, for tables and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from jreg._base.names import qualified_name
from jreg.results import selection
from jreg.training import STATUS, Status

if TYPE_CHECKING:
    from jreg.results.results import Results

# Hyperparameters have a name of their own in flat tables, so that one called "epochs" or "seed" keeps its values.
PREFIX = "param_"
# Values of a column that are lists at once.
_MANY = 50_000


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with one column per hyperparameter, called param_NAME as in scikit-learn's ``cv_results_``.

    A function is its qualified name.

    >>> flat({"hyperparameters": {"epochs": 3}, "epochs": 10})
    {'param_epochs': 3, 'epochs': 10}
    """
    given = row["hyperparameters"].items()
    named = {f"{PREFIX}{name}": _value(value) for name, value in given}
    return named | {name: value for name, value in row.items() if name != "hyperparameters"}


def settings(results: Results, most: int | None = None) -> list[dict[str, Any]]:
    """The ranking: hyperparameters, mean, standard_error, epochs and note of each setting; `most` shortens it."""
    return list(ranked(results, most))


def ranked(results: Results, most: int | None = None) -> Iterator[dict[str, Any]]:
    """`settings` one by one."""
    marks: dict[str, frozenset[int]] = {}
    if results.finished:
        best, simple = frozenset([results.best.number]), frozenset([results.one_standard_error.number])
        marks = {"tied": selection.tied(results), "best": best, "1-SE": simple}
    marked: frozenset[int] = frozenset().union(*marks.values())
    order = selection.order(results)[:most]
    ended = np.isin(results.status[order], (Status.COMPLETED, Status.STOPPED)) & np.isfinite(results.scores[order])
    columns = *(part[order] for part in selection.means(results)), results.epochs[order].mean(axis=(1, 2))
    for number, whole, mean, error, epochs in zip(
        *(column.tolist() for column in (order, ended.all(axis=(1, 2)), *columns)), strict=True
    ):
        note = " ".join(mark for mark, numbers in marks.items() if number in numbers) if number in marked else ""
        yield {
            "hyperparameters": results.spec.settings[number],
            "mean": mean,
            "standard_error": error,
            "epochs": epochs,
            # Only of those without a score there is something to say, and there may be a million.
            "note": note if note or whole else selection.note(results, number),
        }


def names_of_trainings(results: Results) -> tuple[str, ...]:
    """The names of the columns of `trainings`."""
    own = ("fold", "role", "seed", "score", "epochs", "best_epoch", "status")
    return *(f"{PREFIX}{name}" for name in _names(results)), *own


def trainings(results: Results, shown: Callable[[Any], Any] = lambda value: value) -> Iterator[tuple[Any, ...]]:
    """One row per training that was asked for: hyperparameters, fold, role, seed, score, epochs, best_epoch and status.

    Below those that rank the settings are the ones on outer folds, as far as they have ended: which settings train
    there is known once the inner ones have. `shown` is what stands for a value of a hyperparameter.
    """
    yield from _trainings(results, results.spec.ranking_role, shown)
    if outer := results.spec.numbered("outer"):
        part = results.part([fold.number for fold in outer])
        place = names_of_trainings(results).index("status")
        yield from (row for row in _trainings(part, "outer", shown) if row[place] != STATUS[Status.WAITING])


def _trainings(results: Results, role: str, shown: Callable[[Any], Any]) -> Iterator[tuple[Any, ...]]:
    folds, seeds = [fold.number for fold in results.spec.numbered()], results.spec.seeds
    numbers = results.scores, results.epochs, results.best_epochs, results.status
    each = len(folds) * len(seeds)
    step = max(1, _MANY // max(1, each))
    for first in range(0, len(results.spec.settings), step):
        some = results.spec.settings[first : first + step]
        hyperparameters = [[v for s in some for v in repeat(shown(_value(s[n])), each)] for n in _names(results)]
        count = each * len(some)
        places = (
            [fold for fold in folds for _ in seeds] * len(some),
            repeat(role, count),
            list(seeds) * (count // len(seeds)),
        )
        found = [array[first : first + step].ravel().tolist() for array in numbers]
        yield from zip(*hyperparameters, *places, *found[:3], map(STATUS.__getitem__, found[3]), strict=True)


def names_of_curves(results: Results) -> tuple[str, ...]:
    """The names of the columns of `curves`: those of the history by their labels."""
    return "setting", "fold", "seed", "epoch", *results.labels


def curves(results: Results) -> Iterator[tuple[Any, ...]]:
    """One row per training and epoch, ordered by setting, fold, seed and epoch."""
    for some in results.ordered(_MANY):
        places = np.repeat(np.stack([some.setting, some.fold, some.seed]), some.epochs, axis=1)
        run = np.arange(some.history.shape[1]) < some.epochs[:, None]
        # Terms that only later settings have are NaN.
        values = some.history[run].astype(np.float64).T
        yield from zip(*places.tolist(), np.nonzero(run)[1].tolist(), *values.tolist(), strict=True)


def as_pandas(results: Results) -> Any:
    """One row per training as a pandas DataFrame (pandas is not a dependency of jreg)."""
    import pandas  # ty: ignore[import-not-found]  # not a dependency

    return pandas.DataFrame(list(trainings(results)), columns=names_of_trainings(results))


def as_xarray(results: Results) -> Any:
    """Scores, statuses, epochs and histories as an xarray Dataset (xarray is not a dependency of jreg)."""
    import xarray  # ty: ignore[import-not-found]  # not a dependency

    axes = ("setting", "fold", "seed")
    named = {
        "score": (axes, results.scores),
        "status": (axes, results.status),
        "epochs": (axes, results.epochs),
        "best_epoch": (axes, results.best_epochs),
        "history": ((*axes, "epoch", "column"), results.history),
    }
    folds = [fold.number for fold in results.spec.numbered()]
    return xarray.Dataset(named, {"fold": folds, "seed": list(results.spec.seeds), "column": list(results.labels)})


def _names(results: Results) -> list[str]:
    return list(results.spec.settings[0]) if results.spec.settings else []


def _value(value: Any) -> Any:
    return value if type(value) is float else qualified_name(value) or value
