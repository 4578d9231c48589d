"""Results as rows of plain values, for tables and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jreg._base.names import qualified_name
from jreg.results import selection

if TYPE_CHECKING:
    from jreg.results.results import Results

# Hyperparameters have a name of their own in flat tables, so that one called "epochs" or "seed" keeps its values.
PREFIX = "param_"


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with one column per hyperparameter, called param_NAME as in scikit-learn's ``cv_results_``.

    A function is its qualified name.

    >>> flat({"hyperparameters": {"epochs": 3}, "epochs": 10})
    {'param_epochs': 3, 'epochs': 10}
    """
    given = row["hyperparameters"].items()
    named = {f"{PREFIX}{name}": qualified_name(value) or value for name, value in given}
    return named | {name: value for name, value in row.items() if name != "hyperparameters"}


def settings(results: Results, most: int | None = None) -> list[dict[str, Any]]:
    """The ranking: hyperparameters, mean, standard_error, epochs and note of each setting; `most` shortens it."""
    marks: dict[str, frozenset[int]] = {}
    if results.finished:
        best, simple = frozenset([results.best.number]), frozenset([results.one_standard_error.number])
        marks = {"tied": selection.tied(results), "best": best, "1-SE": simple}
    return [
        {
            "hyperparameters": result.hyperparameters,
            "mean": result.mean,
            "standard_error": result.standard_error,
            "epochs": float(result.epochs.mean()),
            "note": " ".join(mark for mark, numbers in marks.items() if result.number in numbers)
            or selection.note(results, result.number),
        }
        for result in results.ranking[:most]
    ]


def trainings(results: Results) -> list[dict[str, Any]]:
    """One row per training that was asked for: hyperparameters, fold, seed, score, epochs, best_epoch and status."""
    scores, spec = results.scores, results.spec
    found = []
    for setting, hyperparameters in enumerate(spec.settings):
        for place, fold in enumerate(spec.numbered()):
            for number, seed in enumerate(spec.seeds):
                row = results.get(setting, fold.number, seed)
                found.append(
                    {
                        "hyperparameters": hyperparameters,
                        "fold": fold.number,
                        "seed": seed,
                        "score": float(scores[setting, place, number]),
                        "epochs": row.epochs if row else 0,
                        "best_epoch": row.best_epoch if row else 0,
                        "status": row.status.word if row else "waiting",
                    }
                )
    return found


def curves(results: Results) -> Iterator[dict[str, Any]]:
    """One row per training and epoch, with the columns of the history by their labels."""
    labels = results.labels
    for row in sorted(results, key=lambda row: row[:3]):
        for epoch, values in enumerate(row.history):
            place = {"setting": row.setting, "fold": row.fold, "seed": row.seed, "epoch": epoch}
            # Terms that only later settings have are missing at the end.
            yield place | dict(zip(labels, map(float, values), strict=False))
