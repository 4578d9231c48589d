"""Settings ranked and chosen by the scores of their trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from jreg import statistics
from jreg.recipe import describe
from jreg.search.space import Setting
from jreg.training import Status, why_diverged

if TYPE_CHECKING:
    from jreg.results.results import Results


@dataclasses.dataclass(frozen=True, repr=False)
class SettingResult:
    """What a study found out about one setting.

    Attributes:
      number: its place in the space.
      hyperparameters: by name.
      mean: of the score, over folds and seeds.
      standard_error: of that mean.
      scores: ``(folds, seeds)``; NaN for a training that was not finished, or diverged without `error_score`.
      epochs: ``(folds, seeds)``, how many were run.
      best_epochs: ``(folds, seeds)``, the zero-based epoch whose score is reported.
      repeats: how many repeats of a k-fold the folds are.
    """

    number: int
    hyperparameters: Setting
    mean: float
    standard_error: float
    scores: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray
    repeats: int = 1

    def __repr__(self) -> str:
        folds, seeds = self.scores.shape
        over = f"{in_repeats(folds, self.repeats)} x {seeds} seeds"
        mean = f"{self.mean:.4g} +- {self.standard_error:.2g} over {over}"
        return f"SettingResult({self.number}: {describe(self.hyperparameters)}, mean {mean})"


def in_repeats(folds: int, repeats: int) -> str:
    """How many folds, in words.

    >>> in_repeats(5, 1), in_repeats(15, 3), in_repeats(15, 2)
    ('5 folds', '5 folds x 3 repeats', '15 folds in 2 repeats')
    """
    if repeats == 1:
        return f"{folds} fold{'' if folds == 1 else 's'}"
    return f"{folds} folds in {repeats} repeats" if folds % repeats else f"{folds // repeats} folds x {repeats} repeats"


class Baseline(NamedTuple):
    """What the best constant prediction scores, which needs no network.

    Attributes:
      name: what is predicted, such as ``"majority class"``.
      scores: of each validation fold, from its training rows.
      repeats: of each validation fold, see `jreg.splits.repeats`; () for one alone.
    """

    name: str
    scores: tuple[float, ...]
    repeats: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        """Over the folds."""
        return float(self._found[0])

    @property
    def standard_error(self) -> float:
        """Of the mean; NaN with one fold."""
        return float(self._found[1])

    @property
    def _found(self) -> tuple[np.ndarray, np.ndarray]:
        scores = np.array(self.scores, np.float64)[:, None]
        return statistics.mean_and_standard_error(scores, np.array(self.repeats) if self.repeats else None)


class SettingResults(Sequence[SettingResult]):
    """What was found about settings, each made when it is looked at, since there may be a million.

    Args:
      results: of the study.
      order: ``(n,)``, the numbers of the settings.
    """

    def __init__(self, results: Results, order: np.ndarray):
        arrays = results.scores, results.epochs, results.best_epochs
        self._parts: Sequence[Any] = (results.spec.settings, *means(results), *arrays)
        self._order, self._repeats = order, results.spec.repeat_count

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> SettingResult: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SettingResult]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        number = int(self._order[index])
        setting, mean, error, *arrays = (part[number] for part in self._parts)
        return SettingResult(number, setting, float(mean), float(error), *arrays, self._repeats)

    def __repr__(self) -> str:
        return f"{len(self)} results of settings"


def means(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """``(settings,)`` each: the mean scores and their standard errors."""
    repeats = results.spec.repeats
    return results.cached("means", lambda: statistics.mean_and_standard_error(results.scores, repeats))


def best(results: Results) -> SettingResult:
    """The setting with the best mean score.

    Raises:
      ValueError: none has all its scores.
    """
    return results.settings[statistics.best_of(means(results)[0], results.maximize)]


def one_standard_error(results: Results) -> SettingResult:
    """The most regularized setting within one standard error of the best, see `jreg.statistics.one_standard_error`.

    Raises:
      ValueError: no setting has all its scores.
    """
    strengths = results.spec.space.strengths()
    return results.settings[statistics.one_standard_error(*means(results), strengths, results.maximize)]


def ranking(results: Results) -> SettingResults:
    """The settings in their `order`."""
    return SettingResults(results, order(results))


def order(results: Results) -> np.ndarray:
    """``(settings,)``, their numbers from the best mean score to the worst, of equal ones the first of the space.

    Those without a mean are last, the longest trained first.
    """

    def ordered() -> np.ndarray:
        found = means(results)[0]
        missing = ~np.isfinite(found)
        signed = np.where(missing, -results.epochs.sum(axis=(1, 2)), -found if results.maximize else found)
        return np.lexsort((signed, missing))

    return results.cached("order", ordered)


def tied(results: Results) -> frozenset[int]:
    """The numbers of all settings that have the best mean; none where it is one setting's alone.

    Raises:
      ValueError: no setting has all its scores.
    """
    found = means(results)[0]
    equal = np.flatnonzero(found == found[best(results).number])
    return frozenset(equal.tolist()) if len(equal) > 1 else frozenset()


def weakest(results: Results) -> SettingResult | None:
    """The least regularized setting, the best of equal ones; None where nothing says which that is."""
    order = results.spec.space.strengths()
    least, found = np.flatnonzero(order == order.min()), means(results)[0]
    if len(least) == len(order) or not np.isfinite(found[least]).any():
        return None
    return results.settings[least[statistics.best_of(found[least], results.maximize)]]


def check_finished(results: Results) -> None:
    """Raises ValueError where no setting has all its scores although not all have diverged."""
    diverged = (results.status == Status.DIVERGED).any(axis=(1, 2))
    if np.isfinite(means(results)[0]).any() or diverged.all():
        return
    score, ended = results.spec.score.label, np.isin(results.status, (Status.COMPLETED, Status.STOPPED))
    undefined = int((ended & ~np.isfinite(results.scores)).sum())
    counts = np.bincount(results.status.ravel(), minlength=len(Status))
    found = ", ".join(f"{count} {status.word}" for status, count in zip(Status, counts, strict=True) if count)
    sentence = f"no setting has all its scores, so there is no best: the trainings are {found}"
    if undefined:
        # r2 of one row, say, or a metric of classes that a fold lacks.
        sentence = (
            f"no setting has all its scores, so there is no best: {score} is NaN or infinite in {undefined} of "
            f"{int(ended.sum())} trainings that came to their end, as where a fold's validation rows are one or all "
            "alike; take another score, such as score='val_loss'"
        )
        if not ended.all():
            sentence += f" (the trainings are {found})"
    raise ValueError(sentence)


def note(results: Results, number: int) -> str:
    """Why a setting has no score, in a word and after a colon why; empty where it has one and nothing has diverged."""
    statuses = results.status[number]
    if (diverged := statuses == Status.DIVERGED).any():
        fold, seed = (int(place[0]) for place in np.nonzero(diverged))
        row = results.get(number, results.spec.numbered()[fold].number, results.spec.seeds[seed])
        why = "" if row is None else f": {why_diverged(row.history, results.spec.columns, results.spec.score)}"
        others = int(diverged.sum()) - 1
        return f"diverged{why}{f' (and {others} more of its trainings)' if others else ''}"
    if (statuses == Status.FAILED).any():
        return "failed"
    if (statuses == Status.PRUNED).any():
        ended = int((statuses != Status.PRUNED).sum())
        count, unit = (ended, "training") if ended else (int(results.epochs[number].max()), "epoch")
        return f"dropped after {count} {unit}{'' if count == 1 else 's'}"
    if not np.isin(statuses, (Status.COMPLETED, Status.STOPPED)).all():
        return "not finished"
    return "" if np.isfinite(results.scores[number]).all() else "no score"
